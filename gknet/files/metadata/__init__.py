"""Metadata of files: EXIF, XMP, IPTC, comments and texts, without thumbnails and other copies of the old pixels."""
