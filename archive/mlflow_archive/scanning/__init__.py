"""What should not leave the house: credentials, e-mail addresses, IBANs and card numbers in an archive.

``patterns`` says what one is and how it is found fast, ``library`` brings the patterns of detect-secrets, ``searching``
looks through texts, ``archive`` through an archive, and ``report`` is what it says of it, never with a whole value.
"""
