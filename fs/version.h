#ifndef FS_VERSION_H
#define FS_VERSION_H

#ifndef ASSETFS_VERSION
#define ASSETFS_VERSION "0.1"
#endif

#endif
