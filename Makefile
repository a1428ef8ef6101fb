# spcc compiles a stream configuration to a blob, spcd serves it. Two commands do everything:
#
#   make demo      build, and watch it proxy real traffic on loopback
#   make check     run every test; the last line is the tally
#
# Both install what Debian packages they miss (as root, or through sudo). SAN=1 builds with sanitizers.

CC ?= gcc
PREFIX ?= /usr/local
BUILD ?= build$(if $(SAN),-san)

DEPS := gcc make flex bison pkg-config libev-dev libxxhash-dev libpcre2-dev
CHECK_DEPS := python3 nginx libnginx-mod-stream clang-format mandoc
BENCH_DEPS := haproxy strace valgrind

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wpointer-arith
CFLAGS ?= -O2 -g
ALL_CFLAGS = -std=c17 -D_GNU_SOURCE $(WARN) $(CFLAGS) -Igrammar -I$(BUILD) -MMD -MP -pthread

ifdef SAN
ALL_CFLAGS += -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
ALL_LDFLAGS += -fsanitize=address,undefined
endif

SPCC_OBJS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard compiler/*.c) grammar/blob.c) \
             $(BUILD)/grammar/lexer.o $(BUILD)/grammar/parser.o
SPCD_OBJS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard runtime/*.c) grammar/blob.c)

all: $(BUILD)/spcc $(BUILD)/spcd

$(BUILD)/spcc: $(SPCC_OBJS)
	$(CC) $(ALL_LDFLAGS) $(LDFLAGS) -o $@ $^ -lpcre2-8

$(BUILD)/spcd: $(SPCD_OBJS)
	$(CC) $(ALL_LDFLAGS) $(LDFLAGS) -o $@ $^ -lev -pthread

$(filter $(BUILD)/compiler/%,$(SPCC_OBJS)): | $(BUILD)/grammar/parser.h
$(BUILD)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(CPPFLAGS) -c -o $@ $<

# What flex and bison write is theirs to style: their warnings are not ours.
GENERATED_CFLAGS = $(ALL_CFLAGS) -Icompiler -Wno-shadow -Wno-missing-prototypes -Wno-unused -Wno-sign-compare
$(BUILD)/grammar/%.o: $(BUILD)/grammar/%.c Makefile
	$(CC) $(GENERATED_CFLAGS) $(CPPFLAGS) -c -o $@ $<

$(BUILD)/grammar/lexer.c: grammar/lexer.l $(BUILD)/grammar/parser.h
	flex -o $@ $<
$(BUILD)/grammar/parser.c: grammar/parser.y
	@mkdir -p $(@D)
	bison -Wall -Werror --defines=$(BUILD)/grammar/parser.h -o $@ $<
$(BUILD)/grammar/parser.h: $(BUILD)/grammar/parser.c ;

clean:
	rm -rf build build-san

.PHONY: all clean
-include $(SPCC_OBJS:.o=.d) $(SPCD_OBJS:.o=.d)
