# layers.mk - the layers of src/ and what each may include: one fact, read by Makefile and utils/check-layers.
# SPDX-License-Identifier: BSD-3-Clause
#
# A layer is a folder of src/. Arrows point one way: a file of a layer includes its own layer and those named here.
# Pure layers see no clock, socket, file, thread, random source, environment or mutable global (src/README.md).

LAYERS := base data proto store cmd cluster node os server
PURE_LAYERS := base data proto store cmd cluster node

USES_base :=
USES_data := base
USES_proto := base data
USES_store := base data proto
USES_cmd := base data proto store
USES_cluster := base data proto store
USES_node := base data proto store cmd cluster
USES_os := base
USES_server := base data proto store cmd cluster node os
USES_main := base os server
