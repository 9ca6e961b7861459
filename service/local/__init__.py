"""The local backend: SQLite and files in one directory.

It may import the domain and the settings; its storage routes also the API's requests and forms.
"""
