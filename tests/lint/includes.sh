#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tests/lint/includes.sh – closes what include paths cannot: "../", and who may touch which library.
#
# usage: includes.sh SOURCE_DIR [BUILD_DIR]
# First plants one offence of each kind in a scratch tree and insists on catching it.
set -euo pipefail

folders='base|chunk|wire|config|image|store|store/disk|net|shaper|transfer|hub|reflector|client'
test_folders='support|sim|fluid|emu|labkit|fuzz|crash'
failed=0

offence() { # offence TEXT LINES
    [ -z "$2" ] && return 0
    printf '%s:\n%s\n' "$1" "$2" >&2
    failed=1
}

sources() { # the .c and .h files below the given folders that exist
    local found=()
    for folder in "$@"; do [ -d "$folder" ] && found+=("$folder"); done
    [ ${#found[@]} -eq 0 ] && return 0
    find "${found[@]}" -name '*.[ch]' -type f -print0
}

product() { sources base chunk wire config image store net shaper transfer hub reflector client; }

# only_in HEADER PLACE…: a regular expression of a header, and of the paths that may include it.
only_in() {
    local header=$1 place=$2
    offence "<$header> belongs in $place alone" "$(product |
        xargs -0 -r grep -nE "^[[:space:]]*#[[:space:]]*include[[:space:]]*[<\"]$header" /dev/null |
        grep -vE "^($place)" || true)"
}

check() { # check TREE; says what is wrong and sets `failed`
    cd "$1"
    failed=0
    offence 'name the folder, do not climb to it' "$( (product; sources tests) |
        xargs -0 -r grep -nE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"\.' /dev/null || true)"
    offence 'a quoted header starts with its folder' "$( (product; sources tests) |
        xargs -0 -r grep -nE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' /dev/null |
        grep -vE "\"(\.|($folders|$test_folders)/[a-z0-9_]+\.(h|def)\")" || true)"
    only_in 'zstd'                    'chunk/'
    only_in 'jansson\.h'              'wire/'
    only_in 'confuse\.h'              'config/'
    only_in 'sys/(xattr|acl)\.h'      'image/'
    only_in 'rocksdb/'                'store/disk/'
    only_in 'event2?[/.]'             'net/'
    only_in 'nghttp2/'                'net/'
    only_in 'libmnl/'                 'net/'
    only_in 'openssl/(evp|kdf|rand)'  'base/crypto\.[ch]'
    only_in 'openssl/(ssl|tls|x509|pem|bio|asn1|pkcs)' 'net/'
    only_in 'openssl/'                'base/crypto\.[ch]|net/'
    only_in 'sys/(socket|epoll|un)\.h' 'net/'
    only_in 'netinet/'                'net/'
    return $failed
}

must_catch() { # must_catch FILE LINE
    local tree
    tree=$(mktemp -d)
    mkdir -p "$tree/$(dirname "$1")"
    printf '%s\n' "$2" >"$tree/$1"
    if (check "$tree") 2>/dev/null; then
        echo "this lint is blind: it let pass '$2' in $1" >&2
        exit 1
    fi
    rm -r "$tree"
}

must_catch wire/x.c '#include "../net/loop.h"'
must_catch wire/x.c '#include "loop.h"'
must_catch store/x.c '#include "disk/segment.h"'
must_catch tests/unit/wire/test_x.c '#include "../x.h"'
must_catch store/x.c '#include <rocksdb/c.h>'
must_catch hub/x.c '#  include <openssl/ssl.h>'
must_catch base/x.c '#include <openssl/evp.h>'
must_catch transfer/x.c '#include <event2/event.h>'
must_catch client/x.c '#include "jansson.h"'
must_catch net/x.c '#include <zstd_errors.h>'
must_catch image/x.c '#include <sys/socket.h>'

(check "${1:-$(dirname "$0")/../..}")
