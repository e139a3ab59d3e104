# SPDX-License-Identifier: Apache-2.0
# cmake/AlbFlags.cmake – language, warnings, sanitizers and hardening, in one place.

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON) # -std=gnu17
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE Release)
endif()
# No -DNDEBUG: our assertions guard invariants that must hold in the field too.
set(CMAKE_C_FLAGS_RELEASE "-O2 -g")
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")

add_compile_definitions(_GNU_SOURCE ALB_VERSION="${PROJECT_VERSION}")
add_link_options(-Wl,--as-needed)
if(ALB_FAULT)
    add_compile_definitions(ALB_FAULT) # ask with #ifdef
endif()

if(ALB_SANITIZE)
    # -O1 keeps chunking a real tree bearable; the sanitizers want frame pointers.
    add_compile_options(-O1 -fno-omit-frame-pointer)
    add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all)
    add_link_options(-fsanitize=address,undefined)
    if(CMAKE_C_COMPILER_ID MATCHES Clang)
        add_compile_options(-fsanitize=float-cast-overflow,implicit-conversion)
        add_link_options(-fsanitize=float-cast-overflow,implicit-conversion)
    endif()
endif()

if(ALB_TSAN)
    add_compile_options(-O1 -fno-omit-frame-pointer -fsanitize=thread)
    add_link_options(-fsanitize=thread)
endif()

if(ALB_COVERAGE)
    # Daemons that end together add to the same counters.
    add_compile_options(--coverage -fprofile-update=atomic)
    add_link_options(--coverage)
endif()

if(ALB_FUZZ)
    if(NOT CMAKE_C_COMPILER_ID MATCHES Clang)
        message(FATAL_ERROR "ALB_FUZZ needs clang; use the preset: cmake --preset fuzz")
    endif()
    add_compile_options(-fsanitize=fuzzer-no-link)
endif()

if(ALB_HARDEN)
    set(CMAKE_POSITION_INDEPENDENT_CODE ON)
    include(CheckPIESupported)
    check_pie_supported(LANGUAGES C)
    add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong
                        -fstack-clash-protection)
    if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|i.86")
        add_compile_options(-fcf-protection)
    endif()
    add_link_options(-Wl,-z,relro,-z,now)
endif()

add_library(alb_warnings INTERFACE)
target_compile_options(alb_warnings INTERFACE
    -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wswitch-enum
    -Wpointer-arith -Wundef -Wvla -Wformat=2 -Wwrite-strings -Wcast-qual
    $<$<BOOL:${ALB_WERROR}>:-Werror>)

if(ALB_TSAN)
    # What it is for is said there.
    add_library(alb_tsan_fd STATIC ${CMAKE_SOURCE_DIR}/tests/tsan_fd.c)
    target_compile_options(alb_tsan_fd PRIVATE -fno-sanitize=thread) # called before TSan is ready
    target_link_libraries(alb_warnings INTERFACE alb_tsan_fd)
    add_link_options(-Wl,-u,openat -Wl,-u,opendir) # wherever it stands among the libraries
endif()
