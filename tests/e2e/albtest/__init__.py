# SPDX-License-Identifier: Apache-2.0
# albtest – what end-to-end tests share: a laboratory of network namespaces, daemons, tree tools.
#
# Standard library only, Python 3.11, so that quickstart can use it on a machine with nothing
# installed. Nothing here imports the product: the tree comparer in particular must not inherit
# the product's idea of what a tree is.
