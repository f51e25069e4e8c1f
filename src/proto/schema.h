/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* proto/schema.h - every message between client, host process and init, in one table. proto/msg.h makes the structs, decoders
 * and encoders from it. Field kinds: u32, u64; str (u32 length + bytes, no NUL inside); strs (u32 count, then strs);
 * bytes (the rest of the body; last field only). All little endian.
 *
 * M(number, name, CONSTANT) with the fields in MSG_<CONSTANT>(F). Numbers are never reused. Any change raises PROTO_VERSION. */
#ifndef PROTO_SCHEMA_H
#define PROTO_SCHEMA_H

#define PROTO_VERSION 16

/* clang-format off */
#define PROTO_MESSAGES(M)                 \
	/* client to host */              \
	M(1, config, CONFIG)              \
	M(2, probe, PROBE)                \
	M(3, pause, PAUSE)                \
	M(4, resume, RESUME)              \
	M(5, shutdown, SHUTDOWN)          \
	M(6, stats_get, STATS_GET)        \
	M(7, mount, MOUNT)                \
	M(8, mask, MASK)                  \
	M(9, rule, RULE)                  \
	M(10, rules_set, RULES_SET)       \
	M(11, publish, PUBLISH)           \
	M(12, unpublish, UNPUBLISH)       \
	M(13, http_hook, HTTP_HOOK)       \
	M(14, http_pem, HTTP_PEM)         \
	M(15, http_unhook, HTTP_UNHOOK)   \
	/* host to client */              \
	M(20, ready, READY)               \
	M(21, vm_end, VM_END)             \
	M(22, log, LOG)                   \
	M(23, done, DONE)                 \
	M(24, stats, STATS)               \
	M(25, probe_result, PROBE_RESULT) \
	M(26, oom, OOM)                   \
	/* execs: client to host to init */ \
	M(40, exec_start, EXEC_START)     \
	M(41, exec_stdin, EXEC_STDIN)     \
	M(42, exec_stdin_eof, EXEC_STDIN_EOF) \
	M(43, exec_signal, EXEC_SIGNAL)   \
	M(44, exec_resize, EXEC_RESIZE)   \
	M(45, exec_abort, EXEC_ABORT)     \
	/* execs: init to host to client */ \
	M(50, exec_stdout, EXEC_STDOUT)   \
	M(51, exec_stderr, EXEC_STDERR)   \
	M(52, exec_exit, EXEC_EXIT)       \
	M(54, exec_started, EXEC_STARTED) \
	/* between client and host, each way: so many bytes were consumed */ \
	M(53, exec_credit, EXEC_CREDIT)   \
	/* init to host */                \
	M(60, hello, HELLO)               \
	M(61, guest_ready, GUEST_READY)   \
	M(62, guest_failed, GUEST_FAILED) \
	M(63, guest_oom, GUEST_OOM)       \
	M(64, bye, BYE)                   \
	M(65, guest_stuck, GUEST_STUCK)   \
	/* host to init */                \
	M(70, guest_config, GUEST_CONFIG) \
	M(71, set_time, SET_TIME)         \
	M(72, power_off, POWER_OFF)       \
	M(73, guest_mount, GUEST_MOUNT)   \
	M(74, guest_net, GUEST_NET)       \
	M(75, guest_ca, GUEST_CA)         \
	M(76, guest_changed, GUEST_CHANGED) \
	/* callbacks: host to client; the channel is the call */ \
	M(80, fs_call, FS_CALL)           \
	M(81, fs_cancel, FS_CANCEL)       \
	/* callbacks: client to host, one for a call, but for FS_ENTRIES with more to come */ \
	M(82, fs_error, FS_ERROR)         \
	M(83, fs_stat, FS_STAT)           \
	M(84, fs_entries, FS_ENTRIES)     \
	M(85, fs_data, FS_DATA)           \
	M(86, fs_count, FS_COUNT)         \
	/* host tools: client to host; the channel is the request */ \
	M(90, fs_tool, FS_TOOL)           \
	M(91, fs_tool_cancel, FS_TOOL_CANCEL) \
	M(92, fs_changed, FS_CHANGED)     \
	/* host tools: host to client, one for a request */ \
	M(95, fs_result, FS_RESULT)       \
	/* hooks of requests: host to client; the channel is the call */ \
	M(100, http_call, HTTP_CALL)      \
	M(101, http_cancel, HTTP_CANCEL)  \
	/* hooks of requests: client to host, one for a call */ \
	M(102, http_forward, HTTP_FORWARD) \
	M(103, http_answer, HTTP_ANSWER)  \
	M(104, http_refuse, HTTP_REFUSE)

/* Before CONFIG, bindings first and then mounts, in the user's order: what there is to see. A host directory carries its descriptor. same_as: a MOUNT
 * before it, counted from 0. callbacks: its own number, by which the client knows it; fs_ops: which of enum proto_fs_op it has, as bits. Each MASK belongs
 * to the MOUNT before it. */
#define MSG_MOUNT(F) \
	F(u32, kind) F(u32, flags) F(u32, cache) F(u32, uid) F(u32, gid) F(u32, same_as) F(u32, callbacks) F(u32, fs_ops) F(u32, call_timeout_ms) \
	F(u32, max_calls) F(u64, max_bytes) F(u64, max_inodes) F(str, path)
/* target: which MOUNT (from 0) is seen there, or PROTO_MASK_HIDDEN */
#define MSG_MASK(F) F(u32, target) F(str, path)
/* Before CONFIG, with PROTO_CONFIG_NETWORK: a rule of egress, in its text form */
#define MSG_RULE(F) F(str, text)

/* Before CONFIG, with PROTO_CONFIG_NETWORK: somebody wants to see, or sets a header of, requests to an origin. number: by which the client knows a
 * PROTO_HOOK_CALL. */
#define MSG_HTTP_HOOK(F) F(u32, kind) F(u32, number) F(u32, timeout_ms) F(str, origin) F(str, name) F(str, value)
/* Before CONFIG: certificates and keys in PEM, enum proto_pem */
#define MSG_HTTP_PEM(F) F(u32, kind) F(bytes, pem)
/* The hook is called no more. */
#define MSG_HTTP_UNHOOK(F) F(u32, number)

/* CONFIG carries descriptors in this order: kernel, init, root image, the console log if PROTO_CONFIG_CONSOLE is set, the flow log if PROTO_CONFIG_NET_LOG is,
 * the log of requests if PROTO_CONFIG_HTTP_LOG is. */
#define MSG_CONFIG(F)                                                                                     \
	F(u32, version) F(u32, flags) F(u32, engine) F(u32, cpus) F(u32, memory_mib) F(u32, boot_timeout_ms) \
	F(u64, scratch_bytes) F(str, hostname) F(str, qemu_path) F(str, cmdline)
#define MSG_PROBE(F) F(u32, version) F(str, qemu_path)
#define MSG_PAUSE(F) F(u32, seq)
#define MSG_RESUME(F) F(u32, seq)
#define MSG_SHUTDOWN(F) F(u32, seq)
#define MSG_STATS_GET(F) F(u32, seq)
/* All rules of egress from now on, in their text form; answered by DONE */
#define MSG_RULES_SET(F) F(u32, seq) F(strs, rules)
/* Carries a listening socket, whose connections are the guest's. Both are answered by DONE */
#define MSG_PUBLISH(F) F(u32, seq) F(u32, guest_port)
/* address: of the socket, 4 or 16 bytes in network order; udp: 0 is TCP */
#define MSG_UNPUBLISH(F) F(u32, seq) F(u32, port) F(u32, udp) F(bytes, address)

/* Times in ns. boot_ticks: the guest's TSC at that moment, as counted from its machine's reset. */
#define MSG_READY(F) \
	F(str, engine) F(u64, host_start_ns) F(u64, kernel_ns) F(u64, init_ns) F(u64, boot_ticks) F(u32, root_readonly) F(str, kernel_release)
#define MSG_VM_END(F) F(u32, reason) F(u32, err) F(str, message) F(str, console)
#define MSG_LOG(F) F(u32, level) F(str, line)
#define MSG_DONE(F) F(u32, seq) F(u32, err) F(str, message)
#define MSG_STATS(F) \
	F(u32, seq) F(u64, host_rss_bytes) F(u64, guest_rss_bytes) F(u64, vsock_rx_bytes) F(u64, vsock_tx_bytes) F(u64, blk_reads) F(u64, blk_read_bytes) \
	F(u64, execs_started) F(u32, execs_running) F(u64, device_breaks) F(u32, oom_kills) F(u64, uptime_ns) F(u64, net_bytes_out) F(u64, net_bytes_in) \
	F(u64, net_flows_admitted) F(u64, net_flows_denied) F(u32, net_flows_open) F(u64, net_log_left_out) F(u64, fs_requests) \
	F(u64, fs_read_bytes) F(u64, fs_written_bytes) F(u32, fs_objects) F(u32, fs_open)
#define MSG_PROBE_RESULT(F) \
	F(u32, chosen) F(u32, kvm_usable) F(str, kvm_detail) F(str, kvm_remedy) F(u32, qemu_usable) F(str, qemu_detail) F(str, qemu_remedy)
#define MSG_OOM(F) F(u32, kills)

/* user: "" (root), "uid", "uid:gid", "name", "name:group". timeout_ns 0: none. */
#define MSG_EXEC_START(F) \
	F(u32, flags) F(u32, rows) F(u32, cols) F(u64, timeout_ns) F(str, user) F(str, cwd) F(strs, argv) F(strs, env)
#define MSG_EXEC_STDIN(F) F(bytes, data)
#define MSG_EXEC_STDIN_EOF(F)
#define MSG_EXEC_SIGNAL(F) F(u32, signo)
#define MSG_EXEC_RESIZE(F) F(u32, rows) F(u32, cols)
#define MSG_EXEC_ABORT(F)
#define MSG_EXEC_STDOUT(F) F(bytes, data)
#define MSG_EXEC_STDERR(F) F(bytes, data)
/* code: the exit code as a shell would say it (0..255); signo: the signal that ended it or 0; message: why it could not start */
#define MSG_EXEC_EXIT(F) F(u32, reason) F(u32, code) F(u32, signo) F(u32, oom_kills) F(str, message)
/* Sent at once when EXEC_START has been taken in: from here on the control stream may name this exec. */
#define MSG_EXEC_STARTED(F) F(u32, pid)
#define MSG_EXEC_CREDIT(F) F(u32, bytes)

#define MSG_HELLO(F) F(u32, version) F(u64, kernel_ns) F(str, kernel_release)
#define MSG_GUEST_READY(F) F(u64, kernel_ns) F(u64, init_ns) F(u64, boot_ticks) F(u32, root_readonly)
#define MSG_GUEST_FAILED(F) F(u32, err) F(str, message)
#define MSG_GUEST_OOM(F) F(u32, exec_id) F(u32, kills)
#define MSG_BYE(F)
/* A thread that was killed and does not die: it waits for an answer of the host's file systems. Repeated while that is so. */
#define MSG_GUEST_STUCK(F) F(u32, pid)
#define MSG_GUEST_CONFIG(F) F(u32, version) F(u32, flags) F(u64, scratch_bytes) F(u64, wall_ns) F(str, hostname) F(bytes, entropy)
/* Before GUEST_CONFIG, in order. kind: PROTO_FS_TMPFS with its limit in bytes (0: half of memory), else the directory "index" of the virtio-fs device. */
#define MSG_GUEST_MOUNT(F) F(u32, kind) F(u32, flags) F(u32, index) F(u64, max_bytes) F(str, path)
/* Before GUEST_CONFIG: there is a network device. addresses: PROTO_NET_BYTES in network order, IPv4 address, IPv4 gateway, IPv6 address, IPv6 gateway. The
 * gateways are the resolvers, too. */
#define MSG_GUEST_NET(F) F(u32, prefix4) F(u32, prefix6) F(bytes, addresses)
/* Before GUEST_CONFIG, if requests are intercepted: the certificate authority that the guest is to trust, one PEM block. hash: of its subject, as OpenSSL names
 * files after it. */
#define MSG_GUEST_CA(F) F(str, hash) F(str, pem)
/* Somebody else than the guest changed what is at this path, from the root of directory "index" of the virtio-fs device ("": the root); or took it away. */
#define MSG_GUEST_CHANGED(F) F(u32, index) F(u32, flags) F(str, path)
#define MSG_SET_TIME(F) F(u64, wall_ns)
#define MSG_POWER_OFF(F)

/* fs: MSG_MOUNT's callbacks. off, len: of READ and WRITE (len bytes are data); len: TRUNCATE's size; off: SET_ATTR's mtime in ns. flags: RENAME's, and
 * SET_ATTR's enum sbx_fs_change_bits. path2: RENAME's new path, SYMLINK's target. */
#define MSG_FS_CALL(F) \
	F(u32, fs) F(u32, op) F(u32, flags) F(u32, mode) F(u32, uid) F(u32, gid) F(u64, off) F(u64, len) F(str, path) F(str, path2) F(bytes, data)
#define MSG_FS_CANCEL(F)
/* err: an errno, or 0: done */
#define MSG_FS_ERROR(F) F(u32, err)
/* type: enum proto_file_type. size: UINT64_MAX is unknown. mtime in ns, two's complement. */
#define MSG_FS_STAT(F) F(u32, type) F(u32, mode) F(u64, size) F(u64, mtime_ns) F(u32, uid) F(u32, gid)
/* entries: {u8 type, u8 has_stat, u16 name length, name, and with has_stat u32 mode, u64 size, u64 mtime_ns, u32 uid, u32 gid}, repeated */
#define MSG_FS_ENTRIES(F) F(u32, more) F(bytes, entries)
#define MSG_FS_DATA(F) F(bytes, data)
#define MSG_FS_COUNT(F) F(u32, count)

/* flags: enum proto_tool_flags; set: SETATTR's, enum proto_tool_set. ino: WRITE and READ fail with ESTALE if the file is another one; 0: any.
 * mount: the path of a mount or binding. path2: RENAME's and LINK's new path, SYMLINK's target, LIST: entries behind this name, SEARCH: the pattern.
 * data: WRITE's; PATCH: {u32 length, old, u32 length, new}, repeated. */
#define MSG_FS_TOOL(F) \
	F(u32, tool) F(u32, flags) F(u32, set) F(u32, mode) F(u32, uid) F(u32, gid) F(u32, timeout_ms) F(u64, offset) F(u64, length) F(u64, ino) \
	F(u64, atime_sec) F(u32, atime_nsec) F(u64, mtime_sec) F(u32, mtime_nsec) F(str, mount) F(str, path) F(str, path2) F(strs, include) \
	F(strs, exclude) F(bytes, data)
#define MSG_FS_TOOL_CANCEL(F)
/* The client, or somebody whom it speaks for, has changed what is at the path of a mount, or taken it away: for the guest's watchers. No answer. */
#define MSG_FS_CHANGED(F) F(str, mount) F(str, path)
/* From size to ctime: the object's, as stat(2) has them; ino 0: there is none to tell about. count, total: see enum proto_tool.
 * data: READ, READ_LINES: content; READLINK: the target; STAT: the path without symbolic links;
 *       LIST: {u64 ino, size, blocks, u32 mode, nlink, uid, gid, rdev, {u64 sec, u32 nsec} of atime, mtime, ctime, u32 length, name, NUL}, repeated;
 *       SEARCH: {u64 line, u32 flags, u32 length, path, NUL, u32 length, text, NUL}, repeated */
#define MSG_FS_RESULT(F) \
	F(u32, err) F(u32, flags) F(u64, count) F(u64, total) F(u64, ino) F(u64, size) F(u64, blocks) F(u32, mode) F(u32, nlink) F(u32, uid) F(u32, gid) \
	F(u32, rdev) F(u64, atime_sec) F(u32, atime_nsec) F(u64, mtime_sec) F(u32, mtime_nsec) F(u64, ctime_sec) F(u32, ctime_nsec) F(str, message) \
	F(bytes, data)

/* flags: enum proto_http_flags. fields: name and value in turn. sni, alpn: "" is none. */
#define MSG_HTTP_CALL(F) \
	F(u32, hook) F(u32, flags) F(u32, original_port) F(u32, upstream_port) F(str, original) F(str, upstream) F(str, sni) F(str, alpn) F(str, method) \
	F(str, origin) F(str, path) F(strs, fields)
#define MSG_HTTP_CANCEL(F)
/* edits: one of "=" (set), "+" (append) and "-" (delete), name and value in turn */
#define MSG_HTTP_FORWARD(F) F(strs, edits)
#define MSG_HTTP_ANSWER(F) F(u32, status) F(strs, fields) F(bytes, body)
#define MSG_HTTP_REFUSE(F) F(u32, status) F(str, text)
/* clang-format on */

enum proto_engine { PROTO_ENGINE_AUTO, PROTO_ENGINE_KVM, PROTO_ENGINE_QEMU };

enum proto_config_flags {
	PROTO_CONFIG_WRITABLE = 1 << 0, /* overlay of the image and a tmpfs of scratch_bytes (0: half of memory) */
	PROTO_CONFIG_CONSOLE = 1 << 1,  /* a console log descriptor is attached */
	PROTO_CONFIG_VERBOSE = 1 << 2,
	PROTO_CONFIG_ICOUNT = 1 << 3,
	PROTO_CONFIG_PARENT_MAIN_THREAD = 1 << 4, /* the starter is its process's main thread: pdeathsig is safe */
	PROTO_CONFIG_NETWORK = 1 << 5,            /* there is a network; RULEs say what may leave it */
	PROTO_CONFIG_NET_LOG = 1 << 6,            /* a descriptor for the log of its flows is attached */
	PROTO_CONFIG_HTTP_LOG = 1 << 7,           /* a descriptor for the log of its requests is attached */
};

enum proto_hook_kind {
	PROTO_HOOK_CALL,
	PROTO_HOOK_HEADER, /* the header name is set to value */
	PROTO_HOOK_SECRET, /* name in the values of headers is replaced by value */
	PROTO_HOOK_COUNT_
};

enum proto_pem {
	PROTO_PEM_TRUST,     /* servers are trusted that these authorities vouch for, too */
	PROTO_PEM_AUTHORITY, /* the certificate of the authority that the guest is to trust */
	PROTO_PEM_KEY,       /* and its key */
	PROTO_PEM_COUNT_
};

enum proto_http_flags {
	PROTO_HTTPF_H2 = 1 << 0,
	PROTO_HTTPF_TLS = 1 << 1,
};

enum proto_guest_flags {
	PROTO_GUEST_WRITABLE = 1 << 0,
};

/* As enum sbx_fs_kind. */
enum proto_fs_kind { PROTO_FS_MEMORY, PROTO_FS_HOST, PROTO_FS_CALLBACKS, PROTO_FS_SAME, PROTO_FS_TMPFS, PROTO_FS_COUNT_ };

enum proto_cache { PROTO_CACHE_AUTO, PROTO_CACHE_NONE, PROTO_CACHE_ALWAYS, PROTO_CACHE_COUNT_ };

enum proto_mount_flags {
	PROTO_MOUNT_READONLY = 1 << 0,
	PROTO_MOUNT_OWNER = 1 << 1,
	PROTO_MOUNT_BINDING = 1 << 2, /* not for the guest */
	PROTO_MOUNT_WATCH = 1 << 3,   /* a host directory: the guest's watchers are told what others change in it */
};

enum proto_changed_flags {
	PROTO_CHANGED_NAMES = 1 << 0, /* another object may be there than before, or none */
};

#define PROTO_MASK_HIDDEN UINT32_MAX

/* What callbacks are asked. */
enum proto_fs_op {
	PROTO_FSOP_STAT,
	PROTO_FSOP_LIST,
	PROTO_FSOP_READ,
	PROTO_FSOP_CREATE,
	PROTO_FSOP_WRITE,
	PROTO_FSOP_TRUNCATE,
	PROTO_FSOP_MKDIR,
	PROTO_FSOP_UNLINK,
	PROTO_FSOP_RMDIR,
	PROTO_FSOP_RENAME,
	PROTO_FSOP_SYMLINK,
	PROTO_FSOP_READLINK,
	PROTO_FSOP_SET_ATTR,
	PROTO_FSOP_FSYNC,
	PROTO_FSOP_COUNT_
};

/* As enum sbx_file_type. */
enum proto_file_type { PROTO_FILE_REGULAR = 1, PROTO_FILE_DIRECTORY, PROTO_FILE_SYMLINK, PROTO_FILE_COUNT_ };

/* What host tools there are, and their results' count and total. As enum sbx_fs_tool. */
enum proto_tool {
	PROTO_TOOL_STAT,
	PROTO_TOOL_LIST,       /* count: entries */
	PROTO_TOOL_READ,       /* count: bytes */
	PROTO_TOOL_READ_LINES, /* count: lines; total: lines of the file */
	PROTO_TOOL_WRITE,      /* count: bytes */
	PROTO_TOOL_PATCH,      /* count: edits */
	PROTO_TOOL_MKDIR,
	PROTO_TOOL_REMOVE,     /* count: objects */
	PROTO_TOOL_RENAME,
	PROTO_TOOL_LINK,
	PROTO_TOOL_SYMLINK,
	PROTO_TOOL_READLINK,
	PROTO_TOOL_SETATTR,
	PROTO_TOOL_SEARCH,     /* count: matches; total: files looked at */
	PROTO_TOOL_COUNT_
};

/* As enum sbx_fs_flags. */
enum proto_tool_flags {
	PROTO_TOOLF_NOFOLLOW = 1 << 0,  /* STAT, SETATTR, LINK: the object may be a symbolic link */
	PROTO_TOOLF_PARENTS = 1 << 1,   /* WRITE, MKDIR, SYMLINK, LINK, RENAME: missing directories are made; MKDIR: it may exist */
	PROTO_TOOLF_EXCLUSIVE = 1 << 2, /* WRITE: the file must not exist; RENAME: the new path must not */
	PROTO_TOOLF_APPEND = 1 << 3,    /* WRITE: at the end */
	PROTO_TOOLF_UPDATE = 1 << 4,    /* WRITE: at offset, and what is there otherwise stays */
	PROTO_TOOLF_EXISTING = 1 << 5,  /* WRITE: the file must exist */
	PROTO_TOOLF_EXCHANGE = 1 << 6,  /* RENAME */
	PROTO_TOOLF_RECURSIVE = 1 << 7, /* REMOVE */
	PROTO_TOOLF_REGEX = 1 << 8,     /* SEARCH: the pattern is a POSIX extended regular expression */
	PROTO_TOOLF_NOCASE = 1 << 9,    /* SEARCH: ASCII letters match in either case */
	PROTO_TOOLF_OWNER = 1 << 10,    /* what is created belongs to uid and gid, not to the owner of its directory */
	PROTO_TOOLF_ALL_ = (1 << 11) - 1,
};

/* As enum sbx_fs_set. */
enum proto_tool_set {
	PROTO_TOOLSET_MODE = 1 << 0,
	PROTO_TOOLSET_UID = 1 << 1,
	PROTO_TOOLSET_GID = 1 << 2,
	PROTO_TOOLSET_SIZE = 1 << 3, /* length */
	PROTO_TOOLSET_ATIME = 1 << 4,
	PROTO_TOOLSET_MTIME = 1 << 5,
	PROTO_TOOLSET_ATIME_NOW = 1 << 6,
	PROTO_TOOLSET_MTIME_NOW = 1 << 7,
	PROTO_TOOLSET_ALL_ = (1 << 8) - 1,
};

/* Of a result, and of a match in SEARCH's data. */
enum proto_tool_result_flags {
	PROTO_TOOLR_MORE = 1 << 0, /* there is more than the result holds */
	PROTO_TOOLR_CUT = 1 << 1,  /* a line is not whole */
};

#define PROTO_FS_TAG "sandbox" /* of the virtio-fs device */
/* Setting this attribute of a file or directory in the virtio-fs device does nothing to it, but the guest's watchers of it are told. */
#define PROTO_FS_CHANGED_XATTR "trusted.sandbox.changed"

enum proto_exec_flags {
	PROTO_EXECF_TTY = 1 << 0,   /* a PTY for all three; output comes as stdout */
	PROTO_EXECF_STDIN = 1 << 1, /* stdin will be sent; without it stdin is /dev/null */
	PROTO_EXECF_BUILTIN = 1 << 2, /* argv names a program of sandbox-init's own (guest/builtin.h); never with a PTY */
};

enum proto_exit_reason {
	PROTO_EXIT_EXITED,
	PROTO_EXIT_SIGNALED,
	PROTO_EXIT_TIMEOUT, /* code 124 */
	PROTO_EXIT_ABORTED, /* by EXEC_ABORT */
	PROTO_EXIT_SPAWN,   /* could not start: code 127 (126 when found but not executable), message says why */
	PROTO_EXIT_REFUSED, /* over PROTO_EXECS_MAX, or the request was malformed; message says why */
	PROTO_EXIT_COUNT_
};

enum proto_end_reason {
	PROTO_END_STOPPED,   /* as asked */
	PROTO_END_POWEROFF,  /* the guest powered itself off after it was ready */
	PROTO_END_LAUNCH,    /* it never became ready */
	PROTO_END_GUEST,     /* the guest died: panic, reset, lost control stream */
	PROTO_END_ENGINE,    /* the engine failed (QEMU died, KVM error) */
	PROTO_END_HOST,      /* the host process failed (protocol error, out of memory) or is gone */
	PROTO_END_COUNT_
};

enum proto_limits {
	PROTO_HEADER_BYTES = 12,
	PROTO_BODY_MAX = 1 << 20,    /* any frame */
	PROTO_DATA_MAX = 1 << 16,    /* STDIN, STDOUT, STDERR payload */
	PROTO_MOUNTS_MAX = 64,       /* and as many bindings */
	PROTO_MASKS_MAX = 64,        /* of a mount */
	PROTO_RULES_MAX = 256,
	PROTO_HOOKS_MAX = 256,
	PROTO_HTTP_CALLS_MAX = 1024,          /* to hooks, not answered; further ones wait in the host process */
	PROTO_HTTP_BODY_MAX = 768 << 10,      /* of an answer that a hook gives */
	PROTO_PEM_MAX = 1000 << 10,
	PROTO_NET_BYTES = 4 + 4 + 16 + 16,
	PROTO_EXECS_MAX = 256,       /* concurrent execs of a VM */
	PROTO_WINDOW_BYTES = 1 << 18, /* unacknowledged bytes of an exec, each way, between client and host */
	PROTO_STRS_MAX = 65536,      /* entries of argv or env */
	PROTO_TOOLS_MAX = 64,          /* requests of host tools that are not answered, of a VM */
	PROTO_TOOL_DATA_MAX = PROTO_BODY_MAX - (1 << 16), /* bytes of an FS_TOOL's or FS_RESULT's data */
	PROTO_TOOL_LINES = 2000,       /* lines that READ_LINES gives by default */
	PROTO_TOOL_MATCHES = 1000,     /* matches that SEARCH gives by default */
	PROTO_TOOL_GLOBS_MAX = 64,     /* of include, and of exclude */
	PROTO_FS_CALLS_MAX = 1024,    /* callbacks called and not answered, of a VM */
	PROTO_FS_IO_MAX = 1 << 18,    /* bytes of a READ or WRITE */
	PROTO_FS_ENTRIES_MAX = 1 << 18, /* bytes of one FS_ENTRIES */
	PROTO_FS_LIST_MAX = 16 << 20, /* bytes of all of a LIST's */
	PROTO_FS_PATH_MAX = 4095,
	PROTO_CONSOLE_TAIL_BYTES = 4096,
	PROTO_PORT_CONTROL = 1024, /* vsock: host side, init connects */
	PROTO_PORT_EXEC = 1025,    /* vsock: guest side, the host connects */
};

#endif
