"""The object store behind one URL: ``file://`` or ``s3://``.

Keys are relative POSIX paths such as ``scans/ab/ab12....png``; nothing outside this package joins a
key to a URL.
"""

from tumorml.objects.from_settings import object_store
from tumorml.objects.store import ObjectStore, StoredObject

__all__ = ["ObjectStore", "StoredObject", "object_store"]
