"""Public weights of the full-size encoders: names, licences, transfer, identity.

`registry` knows names, repositories and licences; `pins` remembers what a name stood for when it
was fetched; `fetching` brings files here and checks them; `local` gives folders and identities to
encoders. No torch anywhere.
"""
