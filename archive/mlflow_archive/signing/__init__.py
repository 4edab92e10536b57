"""Who signed which export of an archive, and when: OpenSSH signatures and RFC 3161 time-stamps beside it.

Start with ``checks.check_signatures`` and ``making``. ``folder`` names the files, ``sshsig`` and ``tokens`` know
their one form and nothing else, ``openssh`` runs ssh-keygen, ``timestamps`` asks the library for RFC 3161. It may
import ``reader`` and what lies below, speaks to no server, and changes nothing in an archive.
"""
