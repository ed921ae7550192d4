"""The object store behind one URL: ``file://`` or ``s3://``.

Keys are relative POSIX paths such as ``scans/ab/ab12....png``; `tumorml.objects.keys` builds all of
them. Only this package joins keys to URLs.
"""

from tumorml.objects.from_settings import object_store
from tumorml.objects.store import ObjectStore, StoredObject

__all__ = ["ObjectStore", "StoredObject", "object_store"]
