"""An archive thinned out: some of its exports stay, each as it was, and what only others needed goes.

``policy`` says which exports stay, ``survey`` what that means for rows and blobs, ``thinned_packs`` and
``thinned_parts`` write what is not copied as it is, ``compact`` puts the new archive together.
"""
