# spcc compiles a stream configuration to a blob, spcd serves it. Two commands do everything:
#
#   make demo      build, and watch it proxy real traffic on loopback
#   make check     run every test; the last line is the tally
#
# Both install what Debian packages they miss (as root, or through sudo). SAN=1 builds with sanitizers.

CC = gcc
PREFIX ?= /usr/local
BUILD ?= build$(if $(SAN),-san)

SPCC_DEPS := gcc libc6-dev flex bison libxxhash-dev libpcre2-dev android-libboringssl-dev
DEPS := $(SPCC_DEPS) libev-dev libp11-kit-dev zlib1g-dev
CHECK_DEPS := python3 iproute2 nginx libnginx-mod-stream mandoc openssl procps pre-commit zsh fish python3-yaml ca-certificates softhsm2
FUZZ_DEPS := clang libclang-rt-dev
INTEROP_DEPS := util-linux haproxy stunnel4 gnutls-bin apache2 tshark redis-server redis-tools mosquitto mosquitto-clients \
                postgresql curl dnsperf knot ngtcp2-client ngtcp2-server rsyslog atftpd tftp-hpa dnsmasq-base \
                mariadb-server mariadb-client python3-pymysql exim4-daemon-light dovecot-imapd
BENCH_DEPS := haproxy strace valgrind libssl-dev util-linux dnsperf knot

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wpointer-arith
CFLAGS ?= -O2 -g
ALL_CFLAGS = -std=c17 -D_GNU_SOURCE $(WARN) $(CFLAGS) -Igrammar -I$(BUILD) -MMD -MP -pthread
ifdef FUZZ # make fuzz; clang's
CC = clang
BUILD = build-fuzz
ALL_CFLAGS += -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
ALL_LDFLAGS += -fsanitize=fuzzer,address,undefined
endif
ifdef SAN
ALL_CFLAGS += -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
ALL_LDFLAGS += -fsanitize=address,undefined
endif

# Debian's BoringSSL, unless BORINGSSL=DIR names another: a source tree that was built within itself (build/libssl.a, or
# build/ssl/libssl.a as it was until 2024; with -DCMAKE_POSITION_INDEPENDENT_CODE=ON, since spcd_tls.so takes it in), or
# whatever has include/ and the libraries in DIR or DIR/lib. A build of its own: BUILD=build-other.
ANDROID := /usr/lib/$(shell gcc -print-multiarch)/android
ifdef BORINGSSL
ifeq ($(wildcard $(BORINGSSL)/include/openssl/base.h),)
$(error there is no BoringSSL in $(BORINGSSL): include/openssl/base.h is missing)
endif
TLS_FOLDERS := $(abspath $(sort $(dir $(foreach name,ssl crypto,$(wildcard $(foreach place,. lib build build/$(name),\
                 $(BORINGSSL)/$(place)/lib$(name).a $(BORINGSSL)/$(place)/lib$(name).so))))))
TLS_CFLAGS = -I$(BORINGSSL)/include
TLS_LIBS = $(foreach folder,$(TLS_FOLDERS),-L$(folder) -Wl,-rpath,$(folder)) -Wl,--exclude-libs,ALL -lssl -lcrypto -lstdc++
else
TLS_CFLAGS = -I/usr/include/android
TLS_LIBS = -L$(ANDROID) -Wl,-rpath,$(ANDROID) -lssl -lcrypto
endif
$(BUILD)/compiler/tls.o $(BUILD)/compiler/tls_choice.o $(BUILD)/runtime/tls/%.o: ALL_CFLAGS += $(TLS_CFLAGS)

# The verifier's loops over millions of records become vectors.
$(BUILD)/grammar/blob.o $(BUILD)/grammar/rule.o: ALL_CFLAGS += -O3

SPCC_OBJS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard compiler/*.c) grammar/blob.c grammar/rule.c) \
             $(BUILD)/grammar/lexer.o $(BUILD)/grammar/parser.o
SPCD_OBJS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard runtime/*.c) grammar/blob.c grammar/rule.c)
TLS_OBJS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard runtime/tls/*.c))
TOKEN_OBJS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard runtime/pkcs11/*.c))
UNITS := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/*.c))

all: $(BUILD)/spcc $(BUILD)/spcd $(BUILD)/spcd_tls.so $(BUILD)/spcd_pkcs11.so

$(BUILD)/spcc: $(SPCC_OBJS)
	$(CC) $(ALL_LDFLAGS) $(LDFLAGS) -o $@ $^ -lpcre2-8 $(TLS_LIBS)

SPCD_LIBS := -Wl,-Bstatic -lev -lpcre2-8 -lz -Wl,-Bdynamic -pthread
$(BUILD)/spcd: $(SPCD_OBJS)
	$(CC) $(ALL_LDFLAGS) $(LDFLAGS) -o $@ $^ $(SPCD_LIBS)

# The module for TLS, which spcd loads where a blob speaks TLS: from beside itself, or from ../lib/spcd.
$(TLS_OBJS): ALL_CFLAGS += -fPIC -fvisibility=hidden
$(BUILD)/spcd_tls.so: $(TLS_OBJS)
	$(CC) $(ALL_LDFLAGS) $(LDFLAGS) -shared -o $@ $^ $(TLS_LIBS)

# The module for keys in tokens, the same way.
$(TOKEN_OBJS): ALL_CFLAGS += -fPIC -fvisibility=hidden -isystem /usr/include/p11-kit-1
$(BUILD)/spcd_pkcs11.so: $(TOKEN_OBJS)
	$(CC) $(ALL_LDFLAGS) $(LDFLAGS) -shared -o $@ $^ -lp11-kit

$(filter $(BUILD)/compiler/%,$(SPCC_OBJS)): | $(BUILD)/grammar/parser.h
$(BUILD)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(CPPFLAGS) -c -o $@ $<

# What flex and bison write is theirs to style: their warnings are not ours.
GENERATED_CFLAGS = $(ALL_CFLAGS) -Icompiler -Wno-shadow -Wno-missing-prototypes -Wno-unused -Wno-sign-compare
$(BUILD)/grammar/lexer.o $(BUILD)/grammar/parser.o: $(BUILD)/grammar/%.o: $(BUILD)/grammar/%.c Makefile
	$(CC) $(GENERATED_CFLAGS) $(CPPFLAGS) -c -o $@ $<

# -Cf: tables as they are, not compressed: a quarter less time for large files, for 28 KB more.
$(BUILD)/grammar/lexer.c: grammar/lexer.l $(BUILD)/grammar/parser.h
	flex -Cf -o $@ $<
$(BUILD)/grammar/parser.c: grammar/parser.y
	@mkdir -p $(@D)
	bison -Wall -Werror --defines=$(BUILD)/grammar/parser.h -o $@ $<
$(BUILD)/grammar/parser.h: $(BUILD)/grammar/parser.c ;

# Unit tables link against everything but main().
$(BUILD)/unit/%: tests/unit/%.c $(filter-out %/main.o,$(SPCC_OBJS))
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(CPPFLAGS) -Icompiler $(ALL_LDFLAGS) -o $@ $(filter %.c %.o,$^) -lpcre2-8 $(TLS_LIBS)

$(BUILD)/unit/tls_memory: ALL_CFLAGS += $(TLS_CFLAGS)
$(BUILD)/unit/tls_memory: $(BUILD)/runtime/tls/memory.o

$(BUILD)/unit/preread $(BUILD)/unit/dialogue: ALL_CFLAGS += -Iruntime
$(BUILD)/unit/preread: $(addprefix $(BUILD)/runtime/,hello.o mqtt.o request.o)

$(BUILD)/unit/dialogue: $(BUILD)/runtime/dialogue.o

$(BUILD)/unit/regex: tests/unit/regex.c $(filter-out %/main.o,$(SPCD_OBJS))
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(CPPFLAGS) -Iruntime $(ALL_LDFLAGS) -o $@ $(filter %.c %.o,$^) $(SPCD_LIBS)

$(BUILD)/unit/outbox: tests/unit/outbox.c $(BUILD)/runtime/outbox.o
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(CPPFLAGS) -Iruntime $(ALL_LDFLAGS) -o $@ $(filter %.c %.o,$^) -lev

units: $(BUILD)/choose $(UNITS)

# Choices of servers without traffic, for tests/balance/.
$(BUILD)/choose: tests/balance/choose.c $(filter-out %/main.o,$(SPCD_OBJS))
	$(CC) $(ALL_CFLAGS) $(CPPFLAGS) -Iruntime $(ALL_LDFLAGS) -o $@ $(filter %.c %.o,$^) $(SPCD_LIBS)

# Fuzz targets link against the same, but for what reads files: with libFuzzer, or with replay.c for make check.
FUZZ_TARGETS := compile format blob preread
FUZZ_COMMON := tests/fuzz/common.c tests/fuzz/fuzz.h tests/unit/walk.h $(filter-out %/main.o,$(SPCC_OBJS))
FUZZ_LINK = $(ALL_CFLAGS) $(CPPFLAGS) -Icompiler $(ALL_LDFLAGS) -Wl,--wrap=source_include -o $@ \
            $(filter %.c %.o,$^) -lpcre2-8 $(TLS_LIBS)
$(BUILD)/fuzz/%: tests/fuzz/%.c $(FUZZ_COMMON)
	@mkdir -p $(@D)
	$(CC) $(FUZZ_LINK)
$(BUILD)/replay/%: tests/fuzz/%.c tests/fuzz/replay.c tests/fuzz/random.c $(FUZZ_COMMON)
	@mkdir -p $(@D)
	$(CC) $(FUZZ_LINK)

# The parsers of what a client sends first, which need nothing but themselves.
PREREAD_OBJS := $(addprefix $(BUILD)/runtime/,hello.o mqtt.o request.o)
$(BUILD)/fuzz/preread: tests/fuzz/preread.c $(PREREAD_OBJS)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(CPPFLAGS) -Iruntime $(ALL_LDFLAGS) -o $@ $^
$(BUILD)/replay/preread: tests/fuzz/preread.c tests/fuzz/replay.c tests/fuzz/packets.c tests/fuzz/fuzz.h $(PREREAD_OBJS)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(CPPFLAGS) -Iruntime -Icompiler $(ALL_LDFLAGS) -o $@ $(filter %.c %.o,$^)

fuzzers: $(FUZZ_TARGETS:%=$(BUILD)/fuzz/%)
replays: $(FUZZ_TARGETS:%=$(BUILD)/replay/%)

# ---- the two commands ----

SUDO = $(if $(filter-out 0,$(shell id -u)),sudo)
missing = $(shell for p in $(1); do dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q '^install ok installed' || echo $$p; done)
define install_missing
@set -e; missing="$(call missing,$(1))"; if [ -n "$$missing" ]; then echo "installing $$missing"; \
    $(SUDO) apt-get update -qq; \
    $(SUDO) env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $$missing >/dev/null; fi
endef

deps:
	$(call install_missing,$(DEPS))
check-deps: deps
	$(call install_missing,$(CHECK_DEPS))
fuzz-deps: deps
	$(call install_missing,$(FUZZ_DEPS))
interop-deps: check-deps
	$(call install_missing,$(INTEROP_DEPS))
bench-deps: check-deps
	$(call install_missing,$(BENCH_DEPS))

demo: deps
	@$(MAKE) --no-print-directory -s all
	@examples/demo.sh

# FUZZ_SECONDS for each target, from tests/fuzz/corpus on; what is found new stays in build-fuzz/.
FUZZ_SECONDS ?= 60
fuzz: fuzz-deps
	@$(MAKE) --no-print-directory -s -j2 FUZZ=1 fuzzers
	@tests/fuzz/run $(FUZZ_SECONDS) $(FUZZ_TARGETS)

check: check-deps
	@$(MAKE) --no-print-directory -s -j2 all units
	@$(MAKE) --no-print-directory -s -j2 SAN=1 all units replays
	@tests/check

# Made up at random, in nginx and here: 20,000 values of tables and expressions, 10,000 first packets, 3,200 clients of 400 servers,
# 100 servers of datagrams.
differential: check-deps
	@$(MAKE) --no-print-directory -s -j2 all
	@tests/differential/run.py --seed 1000 --count 20000
	@tests/differential/words.py --seed 1000 --count 20000
	@tests/preread/run.py --seed 1000 --count 10000
	@tests/preread/phases.py --seed 1000 --servers 400
	@tests/udp/stories.py --seed 1000 --servers 100
	@tests/relay/stories.py --seed 1000 --count 10
	@tests/tls/stories.py --seed 1000 --count 10
	@tests/server-name/http.py --seed 1000 --count 20

# What wears a proxy out, each thing for some seconds.
soak: check-deps
	@$(MAKE) --no-print-directory -s -j2 all
	@tests/soak/run.py

# Servers and clients of Debian's, as they are, with spcd between them.
interop: interop-deps
	@$(MAKE) --no-print-directory -s all
	@tests/interop/run.py

# 200,000 sessions whose clients say what a log line has reason to fear.
injection: check-deps
	@$(MAKE) --no-print-directory -s -j2 all
	@tests/log/run.py --seed 1000 --count 200000

bench: bench-deps
	@$(MAKE) --no-print-directory -s all
	@python3 tests/bench/language.py --markdown docs/PERFORMANCE.md
	@python3 tests/bench/tables.py --markdown docs/PERFORMANCE.md
	@python3 tests/bench/lookups.py --markdown docs/PERFORMANCE.md
	@$(MAKE) --no-print-directory -s $(BUILD)/choose
	@python3 tests/bench/choices.py --markdown docs/PERFORMANCE.md
	@python3 tests/bench/names.py --markdown docs/PERFORMANCE.md
	@python3 tests/bench/footprint.py --markdown docs/PERFORMANCE.md
	@python3 tests/bench/datagrams.py --markdown docs/PERFORMANCE.md
	@python3 tests/bench/queries.py --markdown docs/PERFORMANCE.md
	@python3 tests/bench/secure.py --markdown docs/PERFORMANCE.md
	@python3 tests/bench/bench.py --markdown docs/PERFORMANCE.md

# What the tables of grammar/ say, for people and shells; committed, and make check holds them against the tables.
.PHONY: manual
manual: $(BUILD)/spcc
	@mkdir -p docs/completion
	$(BUILD)/spcc manual directives >docs/directives.md
	$(BUILD)/spcc manual diagnostics >docs/diagnostics.md
	$(BUILD)/spcc manual spc.conf.5 >docs/spc.conf.5
	$(BUILD)/spcc manual bash >docs/completion/spcc.bash
	$(BUILD)/spcc manual zsh >docs/completion/_spcc
	$(BUILD)/spcc manual fish >docs/completion/spcc.fish

tidy:
	@tests/tidy.sh

# As a hook of pre-commit (.pre-commit-hooks.yaml). pre-commit installs a hook of language perl with `cpan -T .`, and
# where a package has a Makefile of its own cpan runs that: `make`, `make install`; no network, no file besides.
# PERL_MM_OPT says where to; only spcc is wanted, and soon.
ifneq ($(findstring /perl_env-,$(PERL_MM_OPT)),)
.DEFAULT_GOAL := hook
MAKEFLAGS += -j$(shell nproc)
WARN := -w

hook: $(BUILD)/spcc
$(SPCC_OBJS) $(BUILD)/grammar/parser.c: | hook-needs
hook-needs:
	@{ command -v flex && command -v bison && printf '#include <%s>\n' pcre2.h xxhash.h openssl/ssl.h | \
	    $(CC) -DPCRE2_CODE_UNIT_WIDTH=8 $(TLS_CFLAGS) -fsyntax-only -xc -; } >/dev/null || \
	    { echo "spcc is compiled here for pre-commit, and for that this machine lacks something." >&2; \
	      echo "On Debian and Ubuntu: apt-get install make $(SPCC_DEPS)" >&2; exit 1; }
install: hook
	@eval "$$PERL_MM_OPT"; install -D -m 755 -t "$$INSTALL_BASE/bin" $(BUILD)/spcc
else
install: all
	install -D -m 755 -t $(DESTDIR)$(PREFIX)/bin $(BUILD)/spcc
	install -D -m 755 -t $(DESTDIR)$(PREFIX)/sbin $(BUILD)/spcd
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/spcd $(BUILD)/spcd_tls.so $(BUILD)/spcd_pkcs11.so
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man1 docs/spcc.1
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man5 docs/spc.conf.5
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man8 docs/spcd.8
	install -D -m 644 docs/completion/spcc.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/spcc
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/zsh/site-functions docs/completion/_spcc
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d docs/completion/spcc.fish
endif

clean:
	rm -rf build build-san build-fuzz

.PHONY: injection interop interop-deps all units differential soak fuzzers replays fuzz fuzz-deps hook hook-needs deps check-deps bench-deps demo check bench tidy install clean
-include $(SPCC_OBJS:.o=.d) $(SPCD_OBJS:.o=.d) $(TLS_OBJS:.o=.d) $(TOKEN_OBJS:.o=.d) $(UNITS:=.d)
