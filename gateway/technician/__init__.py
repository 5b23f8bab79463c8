"""What a technician does at a cabinet: find, name and judge devices on a wire whose settings nobody knows.

Reads only: nothing but function codes 3, 4, 17 and 43 is ever sent. Needs no config and no daemon.
"""
