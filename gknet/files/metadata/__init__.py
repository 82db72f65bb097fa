"""What a file says besides its pixels: EXIF, XMP, IPTC, comments and texts.

Blocks that show the old pixels are left out.
"""
