/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * sbx.h - run untrusted programs in a Linux microVM.
 *
 * A VM is a process of its own (sandbox-host) that this library starts and speaks to over one socket. The library has no
 * threads and no global state: sbx_vm_fd() becomes readable when there is something to do and sbx_vm_dispatch() does
 * it, calling back from there; the blocking calls (…_wait, sbx_vm_pause, …) dispatch until they are done. Most have a form that does not block (…_submit).
 *
 * Threads: a VM and its programs belong to one thread at a time (calls on one VM must not overlap); different VMs are
 * independent. Callbacks run inside the call that dispatches, on its thread. A callback may call anything but the blocking calls, which
 * fail with -EDEADLK there, and sbx_vm_free(), which must wait until the dispatch has returned.
 *
 * Errors: functions return 0 (or a count) or a negative errno; those that take a struct sbx_err * say in words what failed, why
 * and what to do. Any may return -ENOMEM. Blocking calls on a VM return -EDEADLK inside its callbacks and -ENOTCONN, or the errno of its
 * end, when it has ended. Outputs (ret_…, *ret) are written on success only.
 *
 * Strings and arrays that a call is given are the caller's, and read before it returns. What a callback is given is the library's, and valid until the
 * callback returns, unless it says otherwise. Texts are C strings; lengths and sizes count bytes, and names say other units (_ms, _ns, _mib).
 *
 * Signals: no handler is installed, and SIGPIPE does not come from this library. The host process is a child of the program's; where that waits for any child, or ignores
 * SIGCHLD, nothing is lost but how the host process ended.
 *
 * Structs that a caller fills in start with struct_size and are initialised with their …_INIT macro, so that a program built
 * against an older header keeps working.
 */
#ifndef SBX_H
#define SBX_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SBX_API __attribute__((visibility("default")))
#else
#define SBX_API
#endif

#define SBX_VERSION "0.1.0"

enum {
	SBX_CPUS_MAX = 32,
	SBX_MEMORY_MIB_MIN = 64,
	SBX_PROC_MAX = 256,                /* programs of one VM at once */
	SBX_EXEC_BYTES_MAX = (1 << 20) - 1024, /* argv, env, cwd and user together, as they travel */
	SBX_WINDOW_BYTES = 1 << 18,        /* output handed out and not acknowledged, a program */
	SBX_STDIN_CHUNK_MAX = 1 << 16,
};

/** A failure in words. Caller-owned and of fixed size; every function that takes one accepts NULL. */
struct sbx_err {
	int code;           /* negative errno, 0 if nothing failed */
	char message[1024]; /* what, why, and what to do; one line without a newline */
	char console[4096]; /* the guest console's last lines when a launch or a guest failed, else "" */
};

struct sbx_vm;
struct sbx_proc;

/* ---- Starting and ending a VM ---- */

/** Where the guest's CPU comes from. AUTO probes and prefers KVM (see sbx_probe()). */
enum sbx_engine {
	SBX_ENGINE_AUTO,
	SBX_ENGINE_KVM,
	SBX_ENGINE_QEMU,
};

enum sbx_vm_flags {
	SBX_VM_WRITABLE = 1 << 0, /* the root is an overlay: writes go to memory, up to scratch_bytes, and are lost at the end */
	SBX_VM_VERBOSE = 1 << 1,  /* the guest kernel prints everything to its console */
	SBX_VM_ICOUNT = 1 << 2,   /* engine qemu only: virtual time counts guest instructions, 1 ns each (for measuring boots) */
	SBX_VM_NETWORK = 1 << 3,  /* eth0, and @outbound_rules say what may leave by it; without rules nothing may. Else there is no interface. */
};

enum sbx_log_level {
	SBX_LOG_ERROR,
	SBX_LOG_WARN,
	SBX_LOG_INFO,
	SBX_LOG_DEBUG,
};

/** What a VM reported when its init was ready. Times are durations in nanoseconds. */
struct sbx_ready {
	const char *engine;         /* "kvm" or "qemu"; valid during the callback or until the VM is freed */
	const char *kernel_release; /* likewise */
	uint64_t host_ns;           /* from the start of sandbox-host to the readiness of the guest */
	uint64_t kernel_ns;         /* the guest kernel's clock when init began */
	uint64_t init_ns;           /* from there to ready */
	uint64_t boot_ticks;        /* the guest's time-stamp counter at ready, counted from its reset */
	int root_readonly;
};

/** Why a VM ended. */
enum sbx_end_reason {
	SBX_END_STOPPED,  /* sbx_vm_stop() */
	SBX_END_POWEROFF, /* the guest powered itself off */
	SBX_END_LAUNCH,   /* it never became ready */
	SBX_END_GUEST,    /* the guest died: panic, reset, or its init is gone */
	SBX_END_ENGINE,   /* QEMU or KVM failed */
	SBX_END_HOST,     /* the host process failed or was killed */
};

struct sbx_end {
	enum sbx_end_reason reason;
	const struct sbx_err *err; /* in words, with the console's last lines; valid during the callback */
};

/* ---- Files ---- */

enum {
	SBX_MOUNTS_MAX = 64, /* mounts of a VM; and as many bindings */
	SBX_MASKS_MAX = 64,  /* of a mount */
};

/** Who serves the files of a mount. */
enum sbx_fs_kind {
	SBX_FS_MEMORY,    /* a tree in the host process's memory, empty at first; limits: max_bytes, max_inodes */
	SBX_FS_HOST,      /* the host directory @source, held by descriptor; nothing outside of it can be reached */
	SBX_FS_CALLBACKS, /* @callbacks: this program */
	SBX_FS_SAME,      /* what the binding or earlier mount with the path @source serves */
	SBX_FS_TMPFS,     /* a tmpfs of the guest's own, in its memory: max_bytes, 0 is half of its memory. Not for bindings. */
};

/** When the guest sees what others (the host, callbacks) change in a mount. */
enum sbx_cache {
	SBX_CACHE_AUTO,   /* within a second; at once when a file is opened after it changed */
	SBX_CACHE_NONE,   /* at once */
	SBX_CACHE_ALWAYS, /* never, or late: only for trees that nobody else changes; the fastest */
};

enum sbx_mount_flags {
	SBX_MOUNT_READONLY = 1 << 0,
	SBX_MOUNT_OWNER = 1 << 1, /* host directories: every file looks owned by @uid and @gid, and belongs to the user of this process; changing the owner succeeds
	                           * and does nothing; callbacks: likewise */
	SBX_MOUNT_WATCH = 1 << 2, /* host directories, but with SBX_CACHE_ALWAYS: what others change in directories that the guest has read is told to its watchers (inotify), as
	                           * what the host tools do is in every mount; docs/files.md says how, and what is not */
};

/** A path of a mount that the guest gets something else for. */
struct sbx_mask {
	const char *path;     /* in the mount: "/.git/hooks" */
	const char *redirect; /* the path of a binding or an earlier mount, whose root is seen there; NULL: hidden, as if it did not exist */
};

enum {
	SBX_FS_CALLS_MAX = 1024,           /* calls to callbacks of a VM that are not answered; further ones wait in the host process */
	SBX_FS_IO_MAX = 1 << 18,           /* bytes that one call reads or writes */
	SBX_FS_LIST_BYTES_MAX = 16 << 20,  /* a directory's entries as they travel: a name and 4 bytes each, and 28 more with attributes */
};

enum sbx_file_type {
	SBX_FILE_REGULAR = 1,
	SBX_FILE_DIRECTORY,
	SBX_FILE_SYMLINK,
};

#define SBX_SIZE_UNKNOWN UINT64_MAX

/** What a file is. */
struct sbx_file_stat {
	size_t struct_size;
	enum sbx_file_type type;
	uint32_t mode;    /* permissions, up to 07777; 0 takes a default: 0755 for directories, 0644 for files (0555 and 0444 where nothing can be
			   * written), 0777 for symbolic links */
	uint64_t size;    /* bytes. SBX_SIZE_UNKNOWN for a regular file is EIO in the guest: a made-up size would cut the file or pad it. */
	int64_t mtime_ns; /* since 1970 */
	uint32_t uid, gid; /* not looked at with SBX_MOUNT_OWNER */
};

#define SBX_FILE_STAT_INIT                                  \
	{                                                   \
		.struct_size = sizeof(struct sbx_file_stat) \
	}

/** An entry of a directory. */
struct sbx_fs_entry {
	size_t struct_size;
	const char *name; /* 1 to 255 bytes without '/', neither "." nor ".." */
	enum sbx_file_type type;
	const struct sbx_file_stat *stat; /* of the same type; NULL: there will be a stat call when the guest wants to know */
};

#define SBX_FS_ENTRY_INIT                                  \
	{                                                  \
		.struct_size = sizeof(struct sbx_fs_entry) \
	}

/** Bits of sbx_fs_change.what. */
enum sbx_fs_change_bits {
	SBX_CHANGE_MODE = 1 << 0,
	SBX_CHANGE_UID = 1 << 1,
	SBX_CHANGE_GID = 1 << 2,
	SBX_CHANGE_MTIME = 1 << 3,
};

/** What set_attr is asked to change. */
struct sbx_fs_change {
	uint32_t what; /* enum sbx_fs_change_bits; the other fields are 0 */
	uint32_t mode, uid, gid;
	int64_t mtime_ns;
};

/** Flags of rename, with Linux's numbers. */
enum sbx_rename_flags {
	SBX_RENAME_NOREPLACE = 1 << 0, /* EEXIST if the new path exists */
	SBX_RENAME_EXCHANGE = 1 << 1,  /* both exist, and change places */
};

/** A call of the guest's (or of a host tool) that waits for an answer: one of the sbx_fs_reply_… functions. */
struct sbx_fs_call;

/**
 * A file system that this program implements. Every operation gets a call to answer, the path inside of the file system ("/" or "/a/b"; bytes,
 * not necessarily UTF-8, at most 4095, no empty, "." or ".." components), its arguments and the mount's callbacks_user.
 *
 * Answering: with the reply function that is named here, or with sbx_fs_reply_error(); once, before the callback returns, or later from the VM's
 * thread after sbx_fs_call_keep(). Arguments are valid until the callback returns. Many calls may wait at once, about the same
 * file too, and may be answered in any order; a call about a path that is being renamed is not made before the rename is answered,
 * and a rename not before the calls about its paths are.
 *
 * stat and list are required. An operation that is NULL is EROFS in the guest if none of those that write is there, else EOPNOTSUPP (EPERM
 * for symlink). Hard links, device nodes, extended attributes and fallocate do not exist.
 *
 * What is cached in the guest, and for how long, is sbx_mount.cache; the host process keeps nothing but the entries of open directories.
 * Inode numbers are made from paths; a file keeps its own when it is renamed.
 */
struct sbx_fs_callbacks {
	size_t struct_size;
	uint32_t call_timeout_ms; /* from the request to its answer, waiting for others included; then the guest gets ETIMEDOUT. 0: none */
	uint32_t max_calls;       /* made and not answered, of this file system; 0 is SBX_FS_CALLS_MAX, which bounds those of a VM together */

	/** What is at @path? sbx_fs_reply_stat(), or ENOENT. */
	void (*stat)(struct sbx_fs_call *call, const char *path, void *user);
	/** All entries of the directory @path: sbx_fs_reply_entries(). Asked when a program begins to read the directory. */
	void (*list)(struct sbx_fs_call *call, const char *path, void *user);
	/** sbx_fs_reply_data() with @length bytes (at most SBX_FS_IO_MAX) from @offset on; fewer mean that the file ends there. */
	void (*read)(struct sbx_fs_call *call, const char *path, uint64_t offset, size_t length, void *user);

	/** Makes an empty regular file; EEXIST if there is anything. sbx_fs_reply_ok(), or sbx_fs_reply_stat() of the new file, which saves a call. */
	void (*create)(struct sbx_fs_call *call, const char *path, uint32_t mode, void *user);
	/** sbx_fs_reply_count() of the bytes written; fewer than @length, which is at most SBX_FS_IO_MAX, are a short write in the guest. The file
	 * grows as needed; a gap before @offset reads as zeros. */
	void (*write)(struct sbx_fs_call *call, const char *path, uint64_t offset, const void *data, size_t length, void *user);
	/** Cuts or grows (with zeros) a regular file. sbx_fs_reply_ok(). */
	void (*truncate)(struct sbx_fs_call *call, const char *path, uint64_t size, void *user);
	/** As create, for a directory. */
	void (*mkdir)(struct sbx_fs_call *call, const char *path, uint32_t mode, void *user);
	/** Removes what is no directory. sbx_fs_reply_ok(). A file that the guest has open is renamed to a hidden name (".sbx-hidden-…") in its directory
	 * instead if there is rename, and removed when it is closed; without rename, its readers get ESTALE. */
	void (*unlink)(struct sbx_fs_call *call, const char *path, void *user);
	/** Removes an empty directory (ENOTEMPTY). sbx_fs_reply_ok(). */
	void (*rmdir)(struct sbx_fs_call *call, const char *path, void *user);
	/** Moves a file or a whole directory; without flags (enum sbx_rename_flags) it replaces what is at @to. EINVAL for flags that are not supported.
	 * sbx_fs_reply_ok(). */
	void (*rename)(struct sbx_fs_call *call, const char *from, const char *to, uint32_t flags, void *user);
	/** Makes a symbolic link with the text @target (1 to 4095 bytes). As create. */
	void (*symlink)(struct sbx_fs_call *call, const char *target, const char *path, void *user);
	/** sbx_fs_reply_data() with the text of a symbolic link, 1 to 4095 bytes without NUL. */
	void (*readlink)(struct sbx_fs_call *call, const char *path, void *user);
	/** Changes attributes. sbx_fs_reply_ok(). Without it, changes of mode, owner and time that would change something are EOPNOTSUPP. */
	void (*set_attr)(struct sbx_fs_call *call, const char *path, const struct sbx_fs_change *change, void *user);
	/** Make what was written to @path safe. sbx_fs_reply_ok(). Without it, fsync succeeds: every write has been answered. */
	void (*fsync)(struct sbx_fs_call *call, const char *path, void *user);

	/** Nobody waits for the answer of @call any more, which was kept: the guest's program was interrupted, the time is over, or the VM ends. Stop
	 * working on it. Answers have no effect from now on; sbx_fs_call_free() is still due. */
	void (*on_cancel)(struct sbx_fs_call *call, void *user);
};

#define SBX_FS_CALLBACKS_INIT                                                            \
	{                                                                                \
		.struct_size = sizeof(struct sbx_fs_callbacks), .call_timeout_ms = 30000 \
	}

/**
 * sbx_fs_call_keep() - answer later
 *
 * Called in the callback that @call was given to: @call stays valid until sbx_fs_call_free(), whatever happens to it or to the VM, sbx_vm_free()
 * included. Without it @call ends with the callback, and the guest gets EIO if it was not answered.
 */
SBX_API void sbx_fs_call_keep(struct sbx_fs_call *call);
/** Releases a call that was kept; if it was not answered, the guest gets EIO. From the VM's thread. Accepts NULL. */
SBX_API void sbx_fs_call_free(struct sbx_fs_call *call);
/** Keeps and gives back a pointer of the caller's, NULL at first: how on_cancel finds the work on a call. */
SBX_API void sbx_fs_call_set_user(struct sbx_fs_call *call, void *user);
SBX_API void *sbx_fs_call_user(const struct sbx_fs_call *call);

/*
 * Answers. All read their arguments before they return. Return: 0; -EALREADY when it makes no difference any more (the call was answered before or
 * cancelled, or the VM has ended: that is harmless); -EINVAL when the answer does not fit the call (the guest gets EIO).
 */

/** The operation failed. @error: a Linux errno (ENOENT); its sign does not matter; EIO if it is none. */
SBX_API int sbx_fs_reply_error(struct sbx_fs_call *call, int error);
/** It is done: for the operations that name it. */
SBX_API int sbx_fs_reply_ok(struct sbx_fs_call *call);
/** What is there. The file system's error for "nothing": sbx_fs_reply_error(call, ENOENT). */
SBX_API int sbx_fs_reply_stat(struct sbx_fs_call *call, const struct sbx_file_stat *stat);
/** @entries: an array of @count; NULL if that is 0. At most SBX_FS_LIST_BYTES_MAX. */
SBX_API int sbx_fs_reply_entries(struct sbx_fs_call *call, const struct sbx_fs_entry *entries, size_t count);
/** @len bytes: at most as many as a read asked for, or the text of a link. */
SBX_API int sbx_fs_reply_data(struct sbx_fs_call *call, const void *data, size_t len);
/** How many bytes were written: 1 to as many as there were. */
SBX_API int sbx_fs_reply_count(struct sbx_fs_call *call, size_t count);

/** Files that the guest sees at a path (a mount), or that only the host's tools see (a binding). */
struct sbx_mount {
	size_t struct_size;
	const char *path; /* absolute, without "." and ".." components, not "/"; a mount point must exist in the image or an earlier mount */
	enum sbx_fs_kind kind;
	const char *source; /* SBX_FS_HOST: a directory; SBX_FS_SAME: a path */
	uint32_t flags;     /* enum sbx_mount_flags */
	enum sbx_cache cache;
	uint32_t uid, gid;   /* with SBX_MOUNT_OWNER */
	uint64_t max_bytes;  /* SBX_FS_MEMORY: 0 is 256 MiB */
	uint64_t max_inodes; /* SBX_FS_MEMORY: 0 is 65536 */
	const struct sbx_mask *masks;
	size_t mask_count; /* at most SBX_MASKS_MAX */
	const struct sbx_fs_callbacks *callbacks; /* SBX_FS_CALLBACKS; copied */
	void *callbacks_user;
};

#define SBX_MOUNT_INIT                                  \
	{                                               \
		.struct_size = sizeof(struct sbx_mount) \
	}

/* ---- HTTP ---- */

enum {
	SBX_HTTP_HOOKS_MAX = 256,
	SBX_HTTP_CALLS_MAX = 1024,     /* calls of hooks of a VM that are not answered; further requests wait in the host process */
	SBX_HTTP_BODY_MAX = 768 << 10, /* bytes of the body of an answer */
};

/** A header field. */
struct sbx_http_header {
	const char *name, *value;
};

/** A request, as it came or as earlier hooks have left it. Valid until the callback returns. */
struct sbx_http_request {
	size_t struct_size;
	const char *protocol; /* "http/1.1" or "h2" */
	const char *method, *url;              /* "OPTIONS *" asks about a server: its URL has no path */
	const struct sbx_http_header *headers; /* in their order, names in the case they came in */
	size_t header_count;
	const char *original_ip; /* that the guest has connected to */
	uint16_t original_port;
	uint16_t upstream_port;
	const char *upstream_ip;   /* that the host has found for the URL's host, and is connected to */
	const char *tls_sni, *tls_alpn; /* NULL: no TLS; "": none was asked for */
};

/** A call of a hook that waits for an answer: sbx_http_forward(), sbx_http_answer() or sbx_http_refuse(). */
struct sbx_http_call;

/**
 * A hook: it sees every request of the guest's to @origin before the server does, in the order of the hooks, and changes its headers, answers itself, or refuses.
 * It is called when the rules admit the request and the connection to the server is open and verified; requests to other origins never come here.
 * A request that no hook changes is sent as it came, byte by byte.
 */
struct sbx_http_hook {
	size_t struct_size;
	const char *origin; /* "https://api.example.com", "http://host:8080": scheme, host, and port if it is not the scheme's */
	uint32_t timeout_ms; /* for an answer, waiting for others included; then the guest gets a 502. 0: none */
	void (*on_request)(struct sbx_http_call *call, const struct sbx_http_request *request, void *user);
	/** Nobody waits for the answer of @call any more, which was kept: the guest has gone, the time is over, or the VM ends. sbx_http_call_free() is still due. NULL: none */
	void (*on_cancel)(struct sbx_http_call *call, void *user);
	void *user;
};

#define SBX_HTTP_HOOK_INIT                                                       \
	{                                                                        \
		.struct_size = sizeof(struct sbx_http_hook), .timeout_ms = 30000 \
	}

/** A header that every request to @origin has: fields of that name are replaced. Neither the guest nor a hook sees it. */
struct sbx_http_injection {
	size_t struct_size;
	const char *origin, *name, *value;
};

#define SBX_HTTP_INJECTION_INIT                                  \
	{                                                        \
		.struct_size = sizeof(struct sbx_http_injection) \
	}

enum { SBX_HTTP_PLACEHOLDER_MIN = 16, /* bytes */
       SBX_HTTP_PLACEHOLDER_BYTES = 44 };  /* of sbx_http_placeholder(), with the terminator */

/**
 * A secret that the guest has a placeholder of, in a variable say: in the values of headers to @origin, Basic credentials included, the server gets @value for
 * @placeholder. A request that is looked into and has it in a header to another origin is refused.
 */
struct sbx_http_secret {
	size_t struct_size;
	const char *origin;
	const char *placeholder; /* letters, digits, '-', '_' and '.'; at least SBX_HTTP_PLACEHOLDER_MIN, and random: see sbx_http_placeholder() */
	const char *value;       /* as the value of a header may be */
};

#define SBX_HTTP_SECRET_INIT                                  \
	{                                                     \
		.struct_size = sizeof(struct sbx_http_secret) \
	}

/** Writes a random placeholder. 0 or -errno: there are no random bytes. */
SBX_API int sbx_http_placeholder(char dst[SBX_HTTP_PLACEHOLDER_BYTES]);

/** What to start. Everything is read before sbx_vm_start() returns; no pointer but @user and the callbacks is kept. */
struct sbx_vm_config {
	size_t struct_size;

	/* Files, opened by the library, and passed on as descriptors. NULL takes the default of sbx_default_path(). */
	const char *host_path;   /* the sandbox-host program */
	const char *kernel_path; /* ELF vmlinux or bzImage */
	const char *init_path;   /* the sandbox-init program */
	const char *image_path;  /* EROFS root image; the only one of the four that a user changes often */
	const char *qemu_path;   /* qemu-system-x86_64; NULL searches PATH */

	enum sbx_engine engine;
	uint32_t flags;           /* enum sbx_vm_flags */
	uint32_t cpus;            /* 1..SBX_CPUS_MAX */
	uint32_t memory_mib;      /* >= SBX_MEMORY_MIB_MIN, at most what the machine has */
	uint64_t scratch_bytes;   /* with SBX_VM_WRITABLE: limit of what the guest writes to its root; 0 is half of its memory */
	uint32_t boot_timeout_ms; /* how long the guest may take to become ready */
	const char *hostname;     /* NULL is "sandbox"; letters, digits, '-' and '.', at most 63 bytes */
	const char *cmdline;      /* more for the guest kernel's command line; NULL for nothing */
	const struct sbx_mount *mounts; /* mounted in this order; a later one may lie in an earlier one, or hide it */
	size_t mount_count;
	const struct sbx_mount *bindings;
	size_t binding_count;
	const char *const *outbound_rules; /* with SBX_VM_NETWORK: as for sbx_policy_check(); at most SBX_RULES_MAX */
	size_t outbound_count;
	int console_fd;           /* gets everything the guest's console prints; duplicated; -1 for none. A pipe that is full loses output. */

	/* Callbacks; each may be NULL. */
	void (*on_ready)(struct sbx_vm *vm, const struct sbx_ready *ready, void *user);
	void (*on_end)(struct sbx_vm *vm, const struct sbx_end *end, void *user); /* once; every program has had its on_exit before */
	void (*on_oom)(struct sbx_vm *vm, uint32_t kills, void *user);            /* the guest kernel killed for want of memory; total so far */
	void (*on_log)(struct sbx_vm *vm, enum sbx_log_level level, const char *line, void *user); /* what the host process says: one line without a newline */
	void *user;

	/**
	 * With SBX_VM_NETWORK: gets a line of JSON for each decision about a flow and for each flow that ended; duplicated; -1 for none. What a pipe
	 * that is full does not take, and more than 1,000 lines a second after 4,096, is left out; a line says how many were.
	 *   {"time":"2026-01-31T09:00:00.000Z","event":"flow","flow":7,"direction":"out","protocol":"tcp","src":"10.0.2.2","src_port":40000,
	 *    "dst":"203.0.113.9","dst_port":443,"name":"api.example.com","verdict":"allow","rule":"host:api.example.com:443"}
	 * "flow" numbers flows; its "end" has also "bytes_out", "bytes_in" (of payload), "duration_ms" and "reason". "protocol" is tcp, udp or icmp (without ports).
	 * "name" is there for flows that concern a host name. A denial has "verdict":"deny" and a "reason" instead of a rule, and no end.
	 * {"time":…,"event":"left_out","lines":17}. Further keys may come.
	 */
	int net_log_fd;

	/* Interception of HTTP, with SBX_VM_NETWORK: connections of the guest's to the origins of hooks and headers are ended in the host process and begun
	 * anew towards the server, whose certificate is verified; others are relayed untouched. Rules decide what may leave as without it. */
	const struct sbx_http_hook *http_hooks;
	size_t http_hook_count; /* with headers and secrets, at most SBX_HTTP_HOOKS_MAX */
	const struct sbx_http_injection *http_injections;
	size_t http_injection_count;
	const char *http_trust_pem;           /* certificates of authorities that vouch for servers, besides this machine's own; PEM; NULL: none */
	const char *http_ca_certificate_pem;  /* the authority that the guest is to trust, and its key (ECDSA or RSA); NULL: one is made for this VM */
	const char *http_ca_private_key_pem;
	/**
	 * Gets a line of JSON for each request to an origin of the above, bounded as the flow log is; duplicated; -1 for none.
	 *   {"time":"2026-01-31T09:00:00.000Z","event":"request","protocol":"http/1.1","method":"GET","url":"https://api.example.com/v1","status":200,
	 *    "bytes_up":0,"bytes_down":512,"duration_ms":80,"original":"203.0.113.9","original_port":443,"upstream":"203.0.113.9","upstream_port":443,
	 *    "hooks":1,"changed":true}
	 * "bytes_…" are of bodies, as they travel. "hooks" is how many have seen it. "reason" says what went wrong; "status" 0 is no answer. What was refused before
	 * it could be read has "origin" instead of "method" and "url". No header is logged.
	 */
	int http_log_fd;
	const struct sbx_http_secret *http_secrets;
	size_t http_secret_count; /* with hooks and headers, at most SBX_HTTP_HOOKS_MAX */
};

#define SBX_VM_CONFIG_INIT                                                                                             \
	{                                                                                                              \
		.struct_size = sizeof(struct sbx_vm_config), .cpus = 1, .memory_mib = 512, .boot_timeout_ms = 60000, .console_fd = -1, \
		.net_log_fd = -1, .http_log_fd = -1                                                                                    \
	}

/**
 * sbx_vm_start() - start a VM
 * @config: what to start
 * @ret:    the VM; release it with sbx_vm_free()
 * @err:    the reason of a failure
 *
 * Checks everything that can be known now (files, their kinds, limits, contradictions), starts the host process and returns;
 * the boot goes on from there and ends in on_ready or on_end.
 *
 * Return: 0; -EINVAL (the message names the field, its value and the remedy), -ENOENT, -EACCES, -ENOMEM, or another errno of
 * opening files and starting a process.
 */
SBX_API int sbx_vm_start(const struct sbx_vm_config *config, struct sbx_vm **ret, struct sbx_err *err);

/**
 * sbx_vm_free() - end a VM at once and release it
 * @vm: may be NULL
 *
 * Kills the guest without asking it, waits until the host process and everything it started are gone (bounded: well under a
 * second), and frees @vm. Programs that still run get on_exit with SBX_EXIT_LOST; their handles are still to be released, there or later.
 */
SBX_API void sbx_vm_free(struct sbx_vm *vm);

/** The process that has the VM, for diagnostics: to look at it, or to kill it in a test. 0 when it is gone. */
SBX_API pid_t sbx_vm_host_pid(const struct sbx_vm *vm);

/** The descriptor to poll for reading (also when the library has something to write), the same until sbx_vm_free(). The library's; do not read or close it. */
SBX_API int sbx_vm_fd(const struct sbx_vm *vm);

/**
 * sbx_vm_dispatch() - do what can be done without waiting
 *
 * Calls back from here, on this thread.
 *
 * Return: 0; -ENOTCONN when the VM has ended and on_end has been called (nothing will follow); -EDEADLK when called from a callback of the same VM.
 */
SBX_API int sbx_vm_dispatch(struct sbx_vm *vm);

/**
 * sbx_vm_wait_ready() - wait until the guest is ready
 * @ret: may be NULL; its strings stay valid until sbx_vm_free()
 *
 * Bounded by the boot timeout of the configuration.
 *
 * Return: 0; -errno of the failed launch with @err filled in, console included; -EDEADLK (called from a callback).
 */
SBX_API int sbx_vm_wait_ready(struct sbx_vm *vm, struct sbx_ready *ret, struct sbx_err *err);

/**
 * sbx_vm_stop() - ask the guest to end its programs and power off, and wait for it
 * @timeout_ms: how long it may take before it is killed
 *
 * Programs get SIGTERM, then SIGKILL. The VM must be freed afterwards as always.
 *
 * Return: 0, -ETIMEDOUT (it was killed), -ENOTCONN (it had ended), -EDEADLK (called from a callback).
 */
SBX_API int sbx_vm_stop(struct sbx_vm *vm, uint32_t timeout_ms, struct sbx_err *err);

/**
 * sbx_vm_pause(), sbx_vm_resume() - stop the guest's CPUs and let them go on
 *
 * Both wait until it is done, and are idempotent. The guest's clock is set when it continues.
 *
 * Return: 0; -ENOTCONN (the VM has ended), -EDEADLK (called from a callback), -ETIMEDOUT (the host process does not answer), or -errno of the engine.
 */
SBX_API int sbx_vm_pause(struct sbx_vm *vm, struct sbx_err *err);
SBX_API int sbx_vm_resume(struct sbx_vm *vm, struct sbx_err *err);

/** Counters since the start; bytes and nanoseconds. */
struct sbx_stats {
	uint64_t uptime_ns;
	uint64_t host_rss_bytes;  /* resident memory of sandbox-host without the guest's */
	uint64_t guest_rss_bytes; /* guest memory that the host process has mapped and resident */
	uint64_t vsock_rx_bytes, vsock_tx_bytes;
	uint64_t blk_reads, blk_read_bytes;
	uint64_t execs_started;
	uint32_t execs_running;
	uint32_t oom_kills;
	uint64_t device_breaks; /* how often the guest's drivers broke a device's rules */
	uint64_t net_bytes_out, net_bytes_in; /* of frames, out of the guest and into it */
	uint64_t net_flows_admitted, net_flows_denied;
	uint32_t net_flows_open;
	uint64_t net_log_left_out; /* lines that the flow log lacks */
	/* Of mounts, which the guest's page cache hides in part: what its kernel asked the host process for. */
	uint64_t fs_requests, fs_read_bytes, fs_written_bytes;
	uint32_t fs_objects, fs_open; /* that its kernel knows, and has open */
};

/** Asks the host process and waits for the answer. Errors: as sbx_vm_pause(). */
SBX_API int sbx_vm_stats(struct sbx_vm *vm, struct sbx_stats *ret, struct sbx_err *err);

/* ---- Hooks of requests ---- */

/**
 * sbx_http_call_keep() - answer later
 *
 * Called in the callback that @call was given to: @call stays valid until sbx_http_call_free(), whatever happens to it or to the VM, sbx_vm_free() included.
 * Without it @call ends with the callback, and if it was not answered, the request goes on with what was changed.
 */
SBX_API void sbx_http_call_keep(struct sbx_http_call *call);
/** Releases a call that was kept; if it was not answered, the guest gets a 502. From the VM's thread. Accepts NULL. */
SBX_API void sbx_http_call_free(struct sbx_http_call *call);
/** Keeps and gives back a pointer of the caller's, NULL at first: how on_cancel finds the work on a call. */
SBX_API void sbx_http_call_set_user(struct sbx_http_call *call, void *user);
SBX_API void *sbx_http_call_user(const struct sbx_http_call *call);

/**
 * sbx_http_set_header(), sbx_http_append_header(), sbx_http_delete_header() - change the request
 *
 * Before the answer. Set replaces all fields of that name by one, at the place of the first; append adds one at the end; delete removes all. What says where
 * the message goes or ends, or belongs to the connection (Host, Content-Length, Transfer-Encoding, Connection, Upgrade, TE, Trailer, Expect, ...), is not to
 * be changed.
 *
 * Return: 0; -EALREADY when the call was answered or cancelled; -EINVAL (the message says what is wrong with it); -ENOMEM.
 */
SBX_API int sbx_http_set_header(struct sbx_http_call *call, const char *name, const char *value, struct sbx_err *err);
SBX_API int sbx_http_append_header(struct sbx_http_call *call, const char *name, const char *value, struct sbx_err *err);
SBX_API int sbx_http_delete_header(struct sbx_http_call *call, const char *name, struct sbx_err *err);

/** The request goes on: to the next hook, or to the server. Return: 0; -EALREADY. */
SBX_API int sbx_http_forward(struct sbx_http_call *call);
/**
 * sbx_http_answer() - answer instead of the server, which hears nothing
 * @status:  200 to 599
 * @headers: an array of @count; Content-Length is written by the library
 * @body:    @len bytes, at most SBX_HTTP_BODY_MAX; not sent where the status or the method has none
 *
 * Return: 0; -EALREADY; -EINVAL with words, and the call stays open; -ENOMEM.
 */
SBX_API int sbx_http_answer(struct sbx_http_call *call, unsigned status, const struct sbx_http_header *headers, size_t count, const void *body, size_t len,
			    struct sbx_err *err);
/** The guest gets @status (400 to 599) with @text (at most 255 bytes), the server nothing, and the guest's connection ends. Return: 0; -EALREADY; -EINVAL. */
SBX_API int sbx_http_refuse(struct sbx_http_call *call, unsigned status, const char *text);
/**
 * sbx_http_hook_remove() - a hook is not called any more
 * @index: its place in sbx_vm_config.http_hooks
 *
 * From now on, calls that are on their way included; requests that wait for it go on unchanged, and its kept calls get on_cancel. Return: 0; -ENOENT: there
 * is none, or no more; -ENOTCONN: the VM has ended.
 */
SBX_API int sbx_http_hook_remove(struct sbx_vm *vm, size_t index);

/* ---- Host tools ---- */

/*
 * The host tools work on the files of mounts and bindings from this program's side, without entering the guest: while it boots, runs or is paused. They see
 * what the guest sees in a mount (masks hide and replace, a read-only mount is EROFS; for more, add a binding), but not what other mounts cover in it.
 * A tmpfs of the guest (SBX_FS_TMPFS) has none. The guest may change the tree at any time: no tool reaches anything outside of it, and each works on
 * the objects that it found.
 *
 * A path is names separated by '/', with or without a '/' in front, from the root of the mount; "" and "/" are the root. Names are bytes. Symbolic links
 * are followed as the guest would, as long as they stay in the mount (an absolute one must begin with the mount's path); one that leads out, and ".."
 * above the root, are EXDEV. What is created belongs to the owner of the directory that it is in, unless SBX_FS_OWNER says otherwise.
 */

enum {
	SBX_FS_REQUESTS_MAX = 64,    /* requests of a VM that are not done */
	SBX_FS_PATCH_MAX = 16 << 20, /* bytes of a file that is patched, before and after */
	SBX_FS_EDITS_MAX = 900000,   /* bytes of all edits of a patch, with 8 more for each */
	SBX_FS_PATTERN_MAX = 1024,   /* bytes of a pattern */
	SBX_FS_STATES_MAX = 2048,    /* states of a regular expression: one for each thing that matches a byte or a place, one or two for each group, branch and
				      * repetition, each as often as repetitions in braces say, and one for the end */
	SBX_FS_GLOBS_MAX = 64,       /* of include, and of exclude; of 255 bytes each */
	SBX_FS_LINES = 2000,         /* lines that are read when the request does not say */
	SBX_FS_MATCHES = 1000,       /* matches that are given when the request does not say */
	SBX_FS_WAIT_MS = 120000,     /* how long a blocking call waits when the request does not say */
};

enum sbx_fs_tool {
	SBX_TOOL_STAT,       /* -> attr; data: the path without symbolic links, from the root without a '/' in front */
	SBX_TOOL_LIST,       /* length: most entries (0: all), path2: those behind this name -> entries in the order of their names' bytes, count, attr */
	SBX_TOOL_READ,       /* offset, length: most bytes -> data, count, more, attr */
	SBX_TOOL_READ_LINES, /* offset: first line, from 1; length: most lines (0: SBX_FS_LINES) -> data: whole lines, count; total: lines of the file; more,
			      * cut, attr. At most about 960 KiB; the first line is cut if it is longer. */
	SBX_TOOL_WRITE,      /* data, offset, mode of a new file (0: 0644); flags -> attr, count. Replaces the content of a file in its place, or creates one. */
	SBX_TOOL_PATCH,      /* edits -> attr, count */
	SBX_TOOL_MKDIR,      /* mode (0: 0755); SBX_FS_PARENTS */
	SBX_TOOL_REMOVE,     /* a file, a symbolic link or an empty directory; SBX_FS_RECURSIVE -> count: objects removed. Follows no links. */
	SBX_TOOL_RENAME,     /* path2: the new path; SBX_FS_EXCLUSIVE, SBX_FS_EXCHANGE, SBX_FS_PARENTS. Follows no last links. */
	SBX_TOOL_LINK,       /* path2: another name for path; SBX_FS_NOFOLLOW, SBX_FS_PARENTS */
	SBX_TOOL_SYMLINK,    /* path2: the target, any text of 1 to 4095 bytes; SBX_FS_PARENTS */
	SBX_TOOL_READLINK,   /* -> data: the target */
	SBX_TOOL_SETATTR,    /* set, mode, uid, gid, length (the size), atime, mtime; SBX_FS_NOFOLLOW -> attr */
	SBX_TOOL_SEARCH,     /* path2: the pattern; include, exclude, length: most matches (0: SBX_FS_MATCHES); SBX_FS_REGEX, SBX_FS_NOCASE -> matches, count,
			      * total: files looked at; more: matches or very deep directories are missing */
};

enum sbx_fs_flags {
	SBX_FS_NOFOLLOW = 1 << 0,  /* STAT, SETATTR, LINK: of a symbolic link itself */
	SBX_FS_PARENTS = 1 << 1,   /* make missing directories; MKDIR: and let it exist */
	SBX_FS_EXCLUSIVE = 1 << 2, /* WRITE: EEXIST if the file exists; RENAME: if the new path does */
	SBX_FS_APPEND = 1 << 3,    /* WRITE: at the end, whatever offset says */
	SBX_FS_UPDATE = 1 << 4,    /* WRITE: at offset; the rest of the file stays */
	SBX_FS_EXISTING = 1 << 5,  /* WRITE: ENOENT if the file does not exist */
	SBX_FS_EXCHANGE = 1 << 6,  /* RENAME: both exist, and change places */
	SBX_FS_RECURSIVE = 1 << 7, /* REMOVE: a directory with all that is in it */
	SBX_FS_REGEX = 1 << 8,     /* SEARCH: the pattern is a POSIX extended regular expression over bytes, without back-references and of at most
				    * SBX_FS_STATES_MAX states; else plain text */
	SBX_FS_NOCASE = 1 << 9,    /* SEARCH: ASCII letters match in either case */
	SBX_FS_OWNER = 1 << 10,    /* what is created belongs to uid and gid */
};

/** Bits of sbx_fs_request.set. */
enum sbx_fs_set {
	SBX_SET_MODE = 1 << 0,
	SBX_SET_UID = 1 << 1,
	SBX_SET_GID = 1 << 2,
	SBX_SET_SIZE = 1 << 3, /* length */
	SBX_SET_ATIME = 1 << 4,
	SBX_SET_MTIME = 1 << 5,
	SBX_SET_ATIME_NOW = 1 << 6,
	SBX_SET_MTIME_NOW = 1 << 7,
};

/** A replacement: @old_text occurs exactly once in the file as the edits before it have left it. Bytes. */
struct sbx_fs_edit {
	const void *old_text; /* not empty */
	size_t old_len;
	const void *new_text;
	size_t new_len;
};

/** What an object is, as stat(2) says it. */
struct sbx_fs_attr {
	uint64_t ino;
	uint64_t size;   /* bytes */
	uint64_t blocks; /* of 512 bytes, that it takes */
	uint32_t mode;   /* type and permissions, with Linux's numbers: S_ISDIR(mode) */
	uint32_t nlink, uid, gid, rdev;
	struct timespec atime, mtime, ctime;
};

struct sbx_fs_dirent {
	const char *name;
	struct sbx_fs_attr attr; /* of a symbolic link itself */
};

struct sbx_fs_match {
	const char *path; /* from the root, without a '/' in front */
	uint64_t line;    /* from 1 */
	const char *text; /* the line without its newline, or its first 1024 bytes; bytes */
	int cut;          /* the line is longer than @text */
};

/** What a tool found. Release a copy that was handed out with sbx_fs_result_done(). */
struct sbx_fs_result {
	int code;            /* 0, or a negative errno: then only @message counts */
	char message[512];   /* why, with the path, else "" */
	struct sbx_fs_attr attr; /* ino is 0 where the tool has none to give */
	uint64_t count, total;
	int more, cut;
	char *data; /* NUL-terminated for convenience; may hold NULs */
	size_t len;
	struct sbx_fs_dirent *entries; /* @count of them */
	struct sbx_fs_match *matches;  /* likewise */
	char *text_;                   /* what names and texts are in */
};

/** What to do. Everything is read before sbx_fs_submit() returns. */
struct sbx_fs_request {
	size_t struct_size;
	enum sbx_fs_tool tool;
	uint32_t flags;    /* enum sbx_fs_flags: those that the tool is listed with */
	const char *mount; /* the path of a mount or binding, as in the configuration */
	const char *path, *path2; /* at most 4095 bytes; NULL is "" */
	uint64_t offset, length;
	const void *data; /* WRITE */
	size_t data_len;
	const struct sbx_fs_edit *edits; /* PATCH */
	size_t edit_count;
	uint32_t mode, uid, gid;
	uint32_t set; /* enum sbx_fs_set */
	struct timespec atime, mtime;
	const char *const *include, *const *exclude; /* SEARCH: globs as of fnmatch(3), NULL-terminated, or NULL. One without a '/' is about names, another about
						      * paths from the root. Only files that match some include are looked at; what matches some exclude
						      * is not, nor is anything below it. */
	uint32_t timeout_ms; /* then it ends with ETIMEDOUT; 0 is no limit */
	/** Exactly once, from a dispatch, or from sbx_vm_free(), where it is ECANCELED. @result is valid during the call. */
	void (*done)(struct sbx_vm *vm, const struct sbx_fs_result *result, void *user);
	void *user;
};

#define SBX_FS_REQUEST_INIT                                  \
	{                                                    \
		.struct_size = sizeof(struct sbx_fs_request) \
	}

/**
 * sbx_fs_submit() - use a host tool
 * @ret_id: a number for sbx_fs_cancel(), valid until done is called; may be NULL
 *
 * Never waits. Requests run concurrently, and may be done in any order.
 *
 * READ, WRITE and LIST of more than 960 KiB are several steps, between which others may change the tree: if another file has got the path meanwhile, the
 * request ends with ESTALE; a WRITE that fails has written a part. A PATCH is one: all its edits or none, written to a new file that takes the place of
 * the old one (another hard link keeps the old content, a program that has the file open the old file); if the file changes between the reading and
 * that moment, it is ESTALE and nothing is done. On callbacks without create, unlink or rename the file is patched in its place, when all edits are known
 * to apply: others may see it half done, and if it fails halfway the old content is written back, as long as the callbacks do that.
 *
 * What a result may say, beside errors of the file system: ENOENT "host filesystem tools not found: MOUNT"; ENODATA "oldText not found in PATH" and
 * ENOTUNIQ "oldText is not unique in PATH"; EFBIG (over SBX_FS_PATCH_MAX); EINVAL (no regular file, a pattern that is none); EXDEV; ESTALE;
 * EOVERFLOW (a directory of more than 4 million entries); ETIMEDOUT; ECANCELED; ENOTCONN (the VM has ended, and its files are gone).
 *
 * Return: 0; -EINVAL (the message names the field), -EAGAIN (SBX_FS_REQUESTS_MAX are not done, or too much is queued: dispatch and try again), -ENOTCONN
 * (the VM has ended) or -ENOMEM; done is not called then.
 */
SBX_API int sbx_fs_submit(struct sbx_vm *vm, const struct sbx_fs_request *request, uint32_t *ret_id, struct sbx_err *err);

/** Ends a request soon; done is called with ECANCELED, unless it has succeeded by then. -ENOENT: there is none with this number. */
SBX_API int sbx_fs_cancel(struct sbx_vm *vm, uint32_t id);

/**
 * sbx_fs_changed() - tell the guest's watchers of a change
 * @mount: the path of a mount; of another path nothing happens
 * @path:  what changed in it, appeared there or is gone; "": all
 *
 * For what callbacks serve (SBX_FS_CALLBACKS), when it changes by itself: programs of the guest that watch it (inotify) are told, and what they find
 * then is the new state, whatever the mount's cache is. What host tools do, and what is watched with SBX_MOUNT_WATCH, is told without it. May be called in
 * callbacks. Nothing is promised: a guest that has much to do hears of some changes only.
 *
 * Return: 0; -EINVAL (the message names the field), -EAGAIN (too much is queued: dispatch and try again), -ENOTCONN (the VM has ended) or -ENOMEM.
 */
SBX_API int sbx_fs_changed(struct sbx_vm *vm, const char *mount, const char *path, struct sbx_err *err);

/** Frees what @r holds. A zeroed one is fine, too. */
SBX_API void sbx_fs_result_done(struct sbx_fs_result *r);

/**
 * sbx_fs_run() - use a host tool and wait for the result
 * @request: its callback is ignored; a timeout_ms of 0 is SBX_FS_WAIT_MS
 * @ret:     release it with sbx_fs_result_done(); may be NULL
 *
 * Return: 0; what sbx_fs_submit() returns and what the result says, with the reason in @err; -EDEADLK (called from a callback).
 */
SBX_API int sbx_fs_run(struct sbx_vm *vm, const struct sbx_fs_request *request, struct sbx_fs_result *ret, struct sbx_err *err);

/*
 * The tools in short, by sbx_fs_run(), with its errors. @mount and @path as in struct sbx_fs_request. A @ret of type struct sbx_fs_result is released with
 * sbx_fs_result_done(), after success only.
 */

/** @flags: SBX_FS_NOFOLLOW, or 0. */
SBX_API int sbx_fs_stat(struct sbx_vm *vm, const char *mount, const char *path, uint32_t flags, struct sbx_fs_attr *ret, struct sbx_err *err);
/** All entries of a directory: @ret->entries, @ret->count; more than a million are cut there, with @ret->more. */
SBX_API int sbx_fs_list(struct sbx_vm *vm, const char *mount, const char *path, struct sbx_fs_result *ret, struct sbx_err *err);
/** At most @max bytes from @offset on: @ret->data, @ret->len. @ret->more: the file goes on. */
SBX_API int sbx_fs_read(struct sbx_vm *vm, const char *mount, const char *path, uint64_t offset, size_t max, struct sbx_fs_result *ret, struct sbx_err *err);
/** At most @limit lines (0: SBX_FS_LINES) from line @first on, counted from 1: @ret->data, @ret->count of @ret->total; see SBX_TOOL_READ_LINES. */
SBX_API int sbx_fs_read_lines(struct sbx_vm *vm, const char *mount, const char *path, uint64_t first, uint64_t limit, struct sbx_fs_result *ret,
			      struct sbx_err *err);
/** Makes @data the content of the file. @flags: SBX_FS_EXCLUSIVE, SBX_FS_APPEND, SBX_FS_EXISTING, SBX_FS_PARENTS. */
SBX_API int sbx_fs_write(struct sbx_vm *vm, const char *mount, const char *path, const void *data, size_t len, uint32_t flags, struct sbx_err *err);
/** All @count edits, in order, or none. */
SBX_API int sbx_fs_patch(struct sbx_vm *vm, const char *mount, const char *path, const struct sbx_fs_edit *edits, size_t count, struct sbx_err *err);
/** @mode 0 is 0755. @flags: SBX_FS_PARENTS. */
SBX_API int sbx_fs_mkdir(struct sbx_vm *vm, const char *mount, const char *path, uint32_t mode, uint32_t flags, struct sbx_err *err);
/** @flags: SBX_FS_RECURSIVE. */
SBX_API int sbx_fs_remove(struct sbx_vm *vm, const char *mount, const char *path, uint32_t flags, struct sbx_err *err);
/** @flags: SBX_FS_EXCLUSIVE, SBX_FS_EXCHANGE, SBX_FS_PARENTS. */
SBX_API int sbx_fs_rename(struct sbx_vm *vm, const char *mount, const char *from, const char *to, uint32_t flags, struct sbx_err *err);
/** Makes a symbolic link at @path with the text @target, 1 to 4095 bytes. */
SBX_API int sbx_fs_symlink(struct sbx_vm *vm, const char *mount, const char *target, const char *path, struct sbx_err *err);
/** Puts the target into @ret as a C string; -ENAMETOOLONG if it does not fit @size bytes, of which 4096 are enough. */
SBX_API int sbx_fs_readlink(struct sbx_vm *vm, const char *mount, const char *path, char *ret, size_t size, struct sbx_err *err);
/** @mode: permissions, up to 07777. Symbolic links are followed. */
SBX_API int sbx_fs_chmod(struct sbx_vm *vm, const char *mount, const char *path, uint32_t mode, struct sbx_err *err);
/** Cuts a file to @size bytes, or lets it grow to that with zeros. */
SBX_API int sbx_fs_truncate(struct sbx_vm *vm, const char *mount, const char *path, uint64_t size, struct sbx_err *err);
/** Lines of files in and below @path in which @pattern is found: @ret->matches, @ret->count. @flags: SBX_FS_REGEX, SBX_FS_NOCASE. */
SBX_API int sbx_fs_search(struct sbx_vm *vm, const char *mount, const char *path, const char *pattern, uint32_t flags, struct sbx_fs_result *ret,
			  struct sbx_err *err);

/* ---- Running programs ---- */

enum sbx_exec_flags {
	SBX_EXEC_TTY = 1 << 0,        /* a pseudo-terminal; what it prints arrives as stdout */
	SBX_EXEC_STDIN = 1 << 1,      /* input will be written; otherwise stdin is /dev/null */
	SBX_EXEC_MANUAL_ACK = 1 << 2, /* output counts against SBX_WINDOW_BYTES until sbx_proc_ack(), so that a slow reader makes the program wait */
};

enum sbx_exit_reason {
	SBX_EXIT_EXITED,
	SBX_EXIT_SIGNALED, /* code is 128 + signo */
	SBX_EXIT_TIMEOUT,  /* code is 124 */
	SBX_EXIT_ABORTED,  /* sbx_proc_abort(); code is 137 */
	SBX_EXIT_SPAWN,    /* it could not start: code is 127, or 126 when it was found and is not executable */
	SBX_EXIT_REFUSED,  /* the guest refused the request; the message says why */
	SBX_EXIT_LOST,     /* the VM ended under it; the message says how */
};

struct sbx_exit {
	enum sbx_exit_reason reason;
	int code;            /* as a shell says it, 0..255; -1 for REFUSED and LOST */
	int signo;           /* the signal that ended it, or 0 */
	uint32_t oom_kills;  /* processes of it that the guest kernel killed for want of memory */
	const char *message; /* for SPAWN, REFUSED and LOST: why, else "" */
};

/** What to run. Everything but the callbacks and @user is read before sbx_vm_exec() returns. */
struct sbx_exec_spec {
	size_t struct_size;
	const char *const *argv; /* NULL-terminated, at least one; argv[0] is searched in the guest's PATH */
	const char *const *env;  /* NULL-terminated "K=V"; NULL for none. PATH, HOME and TERM get defaults when absent. */
	const char *cwd;         /* absolute; NULL is "/" */
	const char *run_as;      /* "uid", "uid:gid", "name" or "name:group", looked up in the guest; NULL is root */
	uint32_t flags;          /* enum sbx_exec_flags */
	uint32_t timeout_ms;     /* 0 is none; then the program and all its descendants are killed */
	uint16_t rows, cols;     /* of the terminal; 0 is 24 and 80 */

	/** Output; @stream is 1 or 2. The bytes are valid during the call. */
	void (*on_output)(struct sbx_proc *proc, int stream, const void *data, size_t len, void *user);
	/** There is room again after a short sbx_proc_write(). */
	void (*on_writable)(struct sbx_proc *proc, void *user);
	/** Exactly once, after all output; @exit is valid during the call. */
	void (*on_exit)(struct sbx_proc *proc, const struct sbx_exit *exit, void *user);
	void *user;
};

#define SBX_EXEC_SPEC_INIT                                  \
	{                                                   \
		.struct_size = sizeof(struct sbx_exec_spec) \
	}

/**
 * sbx_vm_exec() - start a program in a running VM
 * @ret: a handle that the caller releases with sbx_proc_free(), also after it has ended
 *
 * Never blocks: the request is queued to the guest. A program that cannot start is reported by on_exit, not here.
 *
 * Return: 0, -EINVAL (no argv, over SBX_EXEC_BYTES_MAX, a relative cwd, an env entry without '='), -ENOTCONN (the VM is not ready or has
 * ended), -EAGAIN (SBX_PROC_MAX programs are running) or -ENOMEM.
 */
SBX_API int sbx_vm_exec(struct sbx_vm *vm, const struct sbx_exec_spec *spec, struct sbx_proc **ret, struct sbx_err *err);

/** Releases the handle; a program that still runs is aborted. No callback follows. From the VM's thread, in callbacks too. Accepts NULL. */
SBX_API void sbx_proc_free(struct sbx_proc *proc);

/**
 * sbx_proc_write() - queue input
 *
 * Return: how many bytes were taken, 0 when there is no room now (on_writable follows); -EPIPE (no SBX_EXEC_STDIN, closed, or ended).
 */
SBX_API ssize_t sbx_proc_write(struct sbx_proc *proc, const void *data, size_t len);
/** End of input, after what was written. Return: 0; -EPIPE (no SBX_EXEC_STDIN, closed before, or ended). */
SBX_API int sbx_proc_close_stdin(struct sbx_proc *proc);
/** Sends a Linux x86-64 signal number to the program's process group. Return: 0; -ESRCH when it has ended; -EINVAL. */
SBX_API int sbx_proc_signal(struct sbx_proc *proc, int signo);
/** The terminal has another size, in characters. Return: 0; -ENOTTY (no SBX_EXEC_TTY); -ESRCH when the program has ended. */
SBX_API int sbx_proc_resize(struct sbx_proc *proc, uint16_t rows, uint16_t cols);
/** Kills the program and all its descendants. on_exit follows. Return: 0; -ESRCH when it has ended. */
SBX_API int sbx_proc_abort(struct sbx_proc *proc);
/** With SBX_EXEC_MANUAL_ACK: @len bytes of output are dealt with, no more than on_output has given and were not acknowledged yet. */
SBX_API void sbx_proc_ack(struct sbx_proc *proc, size_t len);

/** What sbx_exec_wait() collected; release with sbx_exec_result_done(). */
struct sbx_exec_result {
	enum sbx_exit_reason reason;
	int code;
	int signo;
	uint32_t oom_kills;
	char *out; /* NUL-terminated for convenience; may hold NULs */
	size_t out_len;
	char *err;
	size_t err_len;
	char message[512];
};

/**
 * sbx_exec_wait() - run a program to its end and collect its output
 * @spec:      its callbacks and SBX_EXEC_MANUAL_ACK are ignored
 * @input:     given to its stdin, then closed; NULL for none
 * @output_max: bytes kept of each stream; 0 is no limit. More than that ends in -EFBIG, with the program aborted.
 *
 * @ret:       release it with sbx_exec_result_done()
 *
 * Return: 0 when it ran (look at the result for how it ended), else -errno as sbx_vm_exec(), or of the VM that ended under it; -EDEADLK (called from a callback).
 */
SBX_API int sbx_exec_wait(struct sbx_vm *vm, const struct sbx_exec_spec *spec, const void *input, size_t input_len, size_t output_max,
			  struct sbx_exec_result *ret, struct sbx_err *err);
/** Frees what @r holds. A zeroed one is fine, too. */
SBX_API void sbx_exec_result_done(struct sbx_exec_result *r);

/* ---- The guest's own files ---- */

/*
 * The tree that programs in the running guest see, through a program of the guest's init: nothing of the image is needed. Each call is a program of the
 * VM as sbx_vm_exec() would start one (it counts against SBX_PROC_MAX) and waits for its end; -EDEADLK from a callback.
 *
 * Paths of the guest are absolute, any bytes but NUL, and looked up in the guest, symbolic links included. The tree is the workload's: a result may be out of date, or
 * invented, and a call may never end (a pipe that nobody writes to, a file system that hangs): see timeout_ms.
 *
 * Errors: what the guest said, as -errno with words; -ETIMEDOUT; -ENOTCONN when the VM is not ready or has ended; -EIO when the program was killed or
 * could not start; -EPROTO when its answer makes no sense.
 */

/** How the calls of this section work. NULL takes the defaults. */
struct sbx_guest_opts {
	size_t struct_size;
	const char *run_as;  /* with whose rights, as in struct sbx_exec_spec; NULL is root */
	uint32_t timeout_ms; /* of the whole call; 0 is none */
	const char *owner;   /* sbx_guest_copy_in(), _tar_in(): who the new files belong to, written as @run_as; "=": the same numbers as in the host or the archive. NULL: @run_as.
			      * Anything but NULL needs root's rights. */
	uint64_t max_bytes;  /* sbx_guest_copy_out(): the most that the guest may send, as a tar archive of the tree; 0: no limit */
};

#define SBX_GUEST_OPTS_INIT                                  \
	{                                                    \
		.struct_size = sizeof(struct sbx_guest_opts) \
	}

enum sbx_guest_flags {
	SBX_GUEST_FOLLOW = 1 << 0,    /* stat: what a symbolic link leads to */
	SBX_GUEST_PARENTS = 1 << 1,   /* mkdir: with everything above it that is missing (0755), and no error if it is there */
	SBX_GUEST_RECURSIVE = 1 << 2, /* remove: with everything in it */
};

/** A file of the guest, in the guest's numbers; see stat(2). */
struct sbx_guest_stat {
	uint32_t mode; /* type and permissions */
	uint32_t uid, gid, nlink;
	uint64_t ino, size, rdev;
	int64_t mtime_sec;
	uint32_t mtime_nsec;
};

struct sbx_guest_entry {
	const char *name;   /* 1 to 255 bytes, not necessarily UTF-8 */
	const char *target; /* of a symbolic link, else "" */
	struct sbx_guest_stat stat;
};

/** The entries of a directory in the order of their names' bytes, without "." and "..". Release with sbx_guest_list_done(). */
struct sbx_guest_list {
	struct sbx_guest_entry *entries;
	size_t count;
	void *memory; /* the library's */
};

/**
 * sbx_guest_read_file() - a file's content
 * @max: more bytes than that are -EFBIG; 0 is no limit
 * @ret: the bytes, and a NUL behind them for convenience; release with free()
 *
 * What can be read is read, whatever the file's size says (as in /proc).
 */
SBX_API int sbx_guest_read_file(struct sbx_vm *vm, const char *path, size_t max, const struct sbx_guest_opts *opts, char **ret, size_t *ret_len,
				struct sbx_err *err);

/**
 * sbx_guest_write_file() - make a file, or replace its content
 * @mode: its permissions, or -1: those that it has, 0644 for a new one
 *
 * Symbolic links at the end of @path are followed. The content is written beside the file, which then takes its place, mode and owner: a reader sees
 * the old or the new content, and a call that fails changes nothing. Where that cannot be, it is written in place: files with several
 * names, of other users (if @run_as is not root), in directories that take no new files; devices, pipes, and files as in /proc.
 */
SBX_API int sbx_guest_write_file(struct sbx_vm *vm, const char *path, const void *data, size_t len, int mode, const struct sbx_guest_opts *opts,
				 struct sbx_err *err);

/** What is at @path. @flags: 0 or SBX_GUEST_FOLLOW. */
SBX_API int sbx_guest_stat(struct sbx_vm *vm, const char *path, uint32_t flags, const struct sbx_guest_opts *opts, struct sbx_guest_stat *ret,
			   struct sbx_err *err);

/** The entries of a directory. @max: more entries than that are -EFBIG, as is more than 128 MiB of names; 0 is 1,000,000. */
SBX_API int sbx_guest_list(struct sbx_vm *vm, const char *path, size_t max, const struct sbx_guest_opts *opts, struct sbx_guest_list *ret,
			   struct sbx_err *err);
/** Frees what @list holds. A zeroed one is fine, too. */
SBX_API void sbx_guest_list_done(struct sbx_guest_list *list);

/** Makes a directory with exactly these permissions. @flags: 0 or SBX_GUEST_PARENTS. */
SBX_API int sbx_guest_mkdir(struct sbx_vm *vm, const char *path, uint32_t mode, uint32_t flags, const struct sbx_guest_opts *opts,
			    struct sbx_err *err);

/** Removes a file or an empty directory, or with SBX_GUEST_RECURSIVE in @flags a whole tree, of which a part may be gone when it fails. A symbolic link is removed
 * itself. */
SBX_API int sbx_guest_remove(struct sbx_vm *vm, const char *path, uint32_t flags, const struct sbx_guest_opts *opts, struct sbx_err *err);

/** As rename(2): replaces what is at @to. */
SBX_API int sbx_guest_rename(struct sbx_vm *vm, const char *from, const char *to, const struct sbx_guest_opts *opts, struct sbx_err *err);

/** What a copy did. */
struct sbx_copied {
	uint64_t files;          /* made: files, directories, links */
	uint64_t bytes;          /* of content */
	uint64_t skipped;        /* devices and pipes, which are not made on the host */
	char first_skipped[256]; /* the path of one; the guest's bytes */
};

/**
 * sbx_guest_copy_in() - copy a file or a tree of the host into the guest
 * @host_path:  what; a symbolic link is copied as one, unless a slash follows it
 * @guest_path: where to
 *
 * As cp -a: into @guest_path under its own name if that is a directory; else it becomes @guest_path, in a directory that exists. "DIR/." (and "/") is the contents of a
 * directory: they go into @guest_path itself, which is made if only it is missing. A slash at the end of @guest_path says that a directory is meant.
 *
 * Kept: permissions, times, symbolic and hard links, pipes and devices, attributes ("user.…"); owners: see sbx_guest_opts.owner. Sockets are left
 * out. Directories that are there are filled and stay as they are otherwise; files replace files, one at a time, and never directories, nor
 * the other way round. What was copied before a failure stays.
 *
 * The host's path may lie in a directory that is lent to this guest (SBX_FS_HOST, not read-only): from there on symbolic links and ".." in it are refused (-ELOOP,
 * -EPERM), as the guest may have put them there; one at the end is copied, or replaced, itself.
 */
SBX_API int sbx_guest_copy_in(struct sbx_vm *vm, const char *host_path, const char *guest_path, const struct sbx_guest_opts *opts, struct sbx_err *err);

/**
 * sbx_guest_copy_out() - copy a file or a tree of the guest to the host
 * @ret: may be NULL
 *
 * As sbx_guest_copy_in() the other way round, but with what comes from the guest as a stranger's: everything is made beneath @host_path, whatever
 * names and links the guest sends; files belong to the user of this process, without set-user-ID, set-group-ID and sticky bits; directories can
 * always be entered and changed by their owner; devices and pipes are left out and counted. Symbolic links are made as they are, and may point anywhere: do not
 * follow them in what a stranger gave you. /proc, /sys and the like below @guest_path are copied as empty directories.
 *
 * -EFBIG: more than max_bytes.
 */
SBX_API int sbx_guest_copy_out(struct sbx_vm *vm, const char *guest_path, const char *host_path, const struct sbx_guest_opts *opts, struct sbx_copied *ret,
			       struct sbx_err *err);

/**
 * sbx_guest_tar_out() - a file or a tree of the guest as a tar archive
 * @sink: takes the archive a piece at a time; 0, or a negative errno that ends the call with it. Dispatches nothing meanwhile, and may not call the library
 *        for this VM.
 *
 * The archive (pax format) holds @guest_path under its last name; "DIR/." and "/" as "./". Whoever unpacks it has to expect anything in it.
 */
SBX_API int sbx_guest_tar_out(struct sbx_vm *vm, const char *guest_path, int (*sink)(const void *data, size_t len, void *user), void *user,
			      const struct sbx_guest_opts *opts, struct sbx_err *err);

/**
 * sbx_guest_tar_in() - unpack a tar archive in the guest
 * @guest_dir: a directory of the guest; nothing is made outside of it
 * @source: puts the next bytes of the archive into @data: how many (at most @size), 0 at the end, or a negative errno that ends the call with it
 *
 * ustar, pax and GNU archives, not compressed. Absolute names, "..", and paths through symbolic links are refused.
 */
SBX_API int sbx_guest_tar_in(struct sbx_vm *vm, const char *guest_dir, ssize_t (*source)(void *data, size_t size, void *user), void *user,
			     const struct sbx_guest_opts *opts, struct sbx_err *err);

/*
 * The same without waiting, for event loops: a request is one of the calls above, and its result comes from a dispatch.
 */

enum sbx_guest_op {
	SBX_GUEST_READ_FILE,  /* path, max -> data, len */
	SBX_GUEST_WRITE_FILE, /* path, data, data_len, mode */
	SBX_GUEST_STAT,       /* path, flags -> stat */
	SBX_GUEST_LIST,       /* path, max -> list */
	SBX_GUEST_MKDIR,      /* path, mode, flags */
	SBX_GUEST_REMOVE,     /* path, flags */
	SBX_GUEST_RENAME,     /* path, path2: the new path */
	SBX_GUEST_COPY_IN,    /* path: to, path2: from, a path of the host, which is read within dispatches, 64 KiB at a time */
	SBX_GUEST_COPY_OUT,   /* path: from, path2: to, a path of the host, which is written within dispatches -> copied */
};

/** What a request found. Release a copy that was handed out with sbx_guest_result_done(). */
struct sbx_guest_result {
	int code;          /* 0, or a negative errno: then only @message counts */
	char message[512]; /* why, else "" */
	char *data;        /* NUL-terminated for convenience */
	size_t len;
	struct sbx_guest_stat stat;
	struct sbx_guest_list list;
	struct sbx_copied copied;
};

/** What to do. Everything is read before sbx_guest_submit() returns. */
struct sbx_guest_request {
	size_t struct_size;
	enum sbx_guest_op op;
	const char *path, *path2;
	uint32_t flags; /* enum sbx_guest_flags */
	int mode;
	size_t max;
	const void *data;
	size_t data_len;
	const struct sbx_guest_opts *opts; /* NULL takes the defaults. The guest keeps its timeout_ms; one that does not may be cancelled. */
	/** Exactly once, from a dispatch, from sbx_guest_cancel(), or from sbx_vm_free(). @result is valid during the call. */
	void (*done)(struct sbx_vm *vm, const struct sbx_guest_result *result, void *user);
	void *user;
};

#define SBX_GUEST_REQUEST_INIT                                          \
	{                                                               \
		.struct_size = sizeof(struct sbx_guest_request), .mode = -1 \
	}

/**
 * sbx_guest_submit() - use the guest's own files without waiting
 * @ret_id: a number for sbx_guest_cancel(), valid until done is called; may be NULL
 *
 * Return: 0; -EINVAL (the message names what is wrong), -ENOTCONN (the VM is not ready or has ended), -EAGAIN (SBX_PROC_MAX programs are running), -errno of the
 * host's path, or -ENOMEM; done is not called then.
 */
SBX_API int sbx_guest_submit(struct sbx_vm *vm, const struct sbx_guest_request *request, uint32_t *ret_id, struct sbx_err *err);

/** Ends a request: its program is killed, and done is called with ECANCELED before this returns. -ENOENT: there is none with this number. */
SBX_API int sbx_guest_cancel(struct sbx_vm *vm, uint32_t id);

/** Frees what @r holds. A zeroed one is fine, too. */
SBX_API void sbx_guest_result_done(struct sbx_guest_result *r);

/* ---- Network policy ---- */

enum { SBX_RULES_MAX = 256 };

/** What rules say about a flow. */
struct sbx_verdict {
	int admit;
	int rule;         /* index of the rule that admits; -1 when none does */
	char reason[128]; /* in words */
};

/**
 * sbx_policy_check() - what egress rules say about a flow, without a VM
 * @rules:       @count rules as text, at most SBX_RULES_MAX:
 *                 "tcp:CIDR[:PORTS]"   "udp:CIDR[:PORTS]"   an address range, IPv4 or IPv6
 *                 "public[:PORTS]"     TCP and UDP to globally routable addresses: not loopback, private, link-local, shared,
 *                                      multicast, reserved, documentation or cloud metadata addresses
 *                 "host:NAME[:PORTS]"  TCP to the addresses that the guest's resolver gave for NAME; "*.NAME" for all names below it
 *               PORTS are "443" or "80,443,8000-8010"; every port when left out
 * @proto:       "tcp" or "udp"
 * @destination: "ADDRESS:PORT", "[ADDRESS]:PORT" for IPv6, or "NAME:PORT": some address that the resolver gave for the name, itself admitted by
 *               no address rule
 *
 * Rules only admit: what none admits is denied. Return: 0, or -EINVAL with the rule or the part at fault named.
 */
SBX_API int sbx_policy_check(const char *const *rules, size_t count, const char *proto, const char *destination, struct sbx_verdict *ret,
			     struct sbx_err *err);

/**
 * sbx_vm_set_rules() - replace the egress rules of a running VM
 * @rules: all @count rules from now on, as for sbx_policy_check(); none: nothing leaves
 *
 * When it returns, new flows are judged by the new rules, and open ones that the new rules do not admit have ended: connections by a reset towards both
 * sides, datagrams by ICMP. A flow that was admitted by a name goes on as long as a rule admits that name or its address; one that was admitted by its
 * address only as long as a rule admits the address. Names that the guest has resolved stay known.
 *
 * Return: 0; -EINVAL (the rule at fault is named, and nothing has changed; or the VM has no network), -ENOTCONN (the VM has ended), -EDEADLK (called from a
 * callback) or -ETIMEDOUT.
 */
SBX_API int sbx_vm_set_rules(struct sbx_vm *vm, const char *const *rules, size_t count, struct sbx_err *err);

enum { SBX_PUBLISHED_MAX = 64 };

/**
 * sbx_vm_publish() - let others connect to a TCP port of the guest
 * @address:    an address of this machine, "0.0.0.0" or "::" (every IPv4, every IPv6 address); NULL is "127.0.0.1"
 * @port:       where to listen; 0 takes one that is free
 * @guest_port: what it leads to. The guest sees its gateway connect, to its address of the same family as @address.
 * @ret_port:   the port that was taken; may be NULL
 *
 * From the start of the VM on. Who connects before the guest has a network waits; afterwards, where nothing listens in the guest, the connection is reset. Egress
 * rules are not asked. At most SBX_PUBLISHED_MAX.
 *
 * Return: 0; -EADDRINUSE, -EADDRNOTAVAIL, -EACCES (with the address and the port), -EINVAL (no address; or the VM has no network), -EMFILE, -ENOTCONN (the VM
 * has ended), -EDEADLK (called from a callback) or -ETIMEDOUT.
 */
SBX_API int sbx_vm_publish(struct sbx_vm *vm, const char *address, uint16_t port, uint16_t guest_port, uint16_t *ret_port, struct sbx_err *err);

/** Stops listening at @address and @port; connections that are open stay. Return: 0; -ENOENT: nothing is published there; else as sbx_vm_publish(). */
SBX_API int sbx_vm_unpublish(struct sbx_vm *vm, const char *address, uint16_t port, struct sbx_err *err);

/**
 * sbx_vm_publish_udp() - let others send to a UDP port of the guest
 *
 * As sbx_vm_publish(). The guest sees its gateway send, from a port that stands for whoever has sent, and what it sends back to there, that gets: from the address that it
 * has sent to, for two minutes after the last datagram (half a minute if the guest does not answer), and no longer than the port is published. What nothing
 * receives in the guest is lost.
 */
SBX_API int sbx_vm_publish_udp(struct sbx_vm *vm, const char *address, uint16_t port, uint16_t guest_port, uint16_t *ret_port, struct sbx_err *err);

/** Closes it, and nobody is answered any more. -ENOENT: nothing is published there by UDP. */
SBX_API int sbx_vm_unpublish_udp(struct sbx_vm *vm, const char *address, uint16_t port, struct sbx_err *err);

/* ---- Requests to the host process, without waiting ---- */

enum { SBX_CONTROLS_MAX = 64 }; /* that are not done */

/** What sbx_control_submit() asks for: each is the function of that name, whose errors it has. */
enum sbx_control_op {
	SBX_CONTROL_PAUSE,
	SBX_CONTROL_RESUME,
	SBX_CONTROL_SHUTDOWN,  /* done when the guest is asked to end its programs and power off; on_end tells of its end, however long that takes */
	SBX_CONTROL_STATS,     /* -> stats */
	SBX_CONTROL_SET_RULES, /* rules, rule_count */
	SBX_CONTROL_PUBLISH,   /* transport, address, port, guest_port -> port */
	SBX_CONTROL_UNPUBLISH, /* transport, address, port */
};

/** Of a published port. */
enum sbx_transport {
	SBX_TCP,
	SBX_UDP,
};

/** What came of a request. */
struct sbx_control_result {
	int code;          /* 0, or a negative errno: then only @message counts */
	char message[512]; /* why, else "" */
	struct sbx_stats stats;
	uint16_t port; /* that was taken */
};

/** What to do. Everything is read before sbx_control_submit() returns. */
struct sbx_control_request {
	size_t struct_size;
	enum sbx_control_op op;
	const char *const *rules;
	size_t rule_count;
	const char *address;
	uint16_t port, guest_port;
	/** Exactly once, from a dispatch, from sbx_control_cancel(), or from sbx_vm_free(). @result is valid during the call. */
	void (*done)(struct sbx_vm *vm, const struct sbx_control_result *result, void *user);
	void *user;
	enum sbx_transport transport;
};

#define SBX_CONTROL_REQUEST_INIT                                  \
	{                                                         \
		.struct_size = sizeof(struct sbx_control_request) \
	}

/**
 * sbx_control_submit() - pause, rules, ports and counters of a VM for event loops
 * @ret_id: a number for sbx_control_cancel(), valid until done is called; may be NULL
 *
 * Never waits, and may be called from callbacks. Requests are carried out in the order of submission. The host process answers in its next turn; one that hangs
 * never does, so set a time limit of your own (sbx_control_cancel()) or end the VM, which ends its requests: -ENOTCONN.
 *
 * Return: 0; -EINVAL (what is wrong is named), -EAGAIN (SBX_CONTROLS_MAX are not done: dispatch and try again), -ENOTCONN (the VM has ended), -ENOMEM, or for
 * SBX_CONTROL_PUBLISH the errors of listening, as sbx_vm_publish(); done is not called then.
 */
SBX_API int sbx_control_submit(struct sbx_vm *vm, const struct sbx_control_request *request, uint32_t *ret_id, struct sbx_err *err);

/**
 * sbx_control_cancel() - do not wait for a request any longer
 *
 * done is called with -ECANCELED before this returns. A port that was being published is given back; anything else may be done all the same. -ENOENT: there is
 * none with this number.
 */
SBX_API int sbx_control_cancel(struct sbx_vm *vm, uint32_t id);

/* ---- What this machine can do ---- */

struct sbx_engine_probe {
	int usable;
	char detail[256]; /* what was found */
	char remedy[256]; /* what to do when it is not usable */
};

struct sbx_probe {
	enum sbx_engine chosen; /* what AUTO takes; AUTO when nothing is usable */
	struct sbx_engine_probe kvm, qemu;
};

/**
 * sbx_probe() - what the engines can do on this machine
 * @host_path, @qemu_path: as in struct sbx_vm_config
 *
 * Probes both, in a host process of its own, and waits for it: some milliseconds, at most 20 s. That no engine is usable is no error: @ret says why. May be called on
 * any thread.
 *
 * Return: 0, or -errno of starting the host process or of its answer.
 */
SBX_API int sbx_probe(const char *host_path, const char *qemu_path, struct sbx_probe *ret, struct sbx_err *err);

enum sbx_artifact {
	SBX_ARTIFACT_HOST,
	SBX_ARTIFACT_KERNEL,
	SBX_ARTIFACT_INIT,
	SBX_ARTIFACT_IMAGE,
};

/**
 * sbx_default_path() - where an artifact of this installation is
 *
 * The directory is the environment's SANDBOX_LIBDIR, else that of the running program if it holds sandbox-host, else ../lib/sandbox from there, else
 * the one fixed when the library was built.
 *
 * @ret: gets the path, a C string, if it fits @size bytes
 *
 * Return: 0, -ENAMETOOLONG, -EINVAL. Whether the file exists is not looked at.
 */
SBX_API int sbx_default_path(enum sbx_artifact which, char *ret, size_t size);

/* ---- Images ---- */

/** Bits of sbx_image_info.compression. */
enum sbx_image_compression {
	SBX_IMAGE_LZ4 = 1 << 0,
	SBX_IMAGE_ZSTD = 1 << 1,
};

/** What an EROFS image says about itself. */
struct sbx_image_info {
	uint64_t file_bytes;      /* size of the file; at least blocks * block_bytes */
	uint64_t blocks;
	uint32_t block_bytes;
	uint32_t root_inode;
	uint64_t inodes;
	uint64_t build_time;      /* seconds since 1970 */
	uint32_t build_time_nsec;
	uint32_t compression;     /* bits of enum sbx_image_compression; 0: data is stored as it is */
	uint8_t uuid[16];
	char label[17];           /* bytes of the image, not necessarily printable */
};

/**
 * sbx_image_inspect() - read the superblock of a root image
 * @path: a file
 *
 * The check that sbx_vm_start() does before it starts anything: what passes is an EROFS image that is whole and that the guest kernel can
 * mount, as far as its superblock tells. Starts nothing.
 *
 * Return: 0, -errno of opening or reading, -EINVAL (no EROFS image), -EBADMSG (damaged or cut short) or -ENOTSUP (features that the guest kernel
 * lacks).
 */
SBX_API int sbx_image_inspect(const char *path, struct sbx_image_info *ret, struct sbx_err *err);

/** SBX_VERSION as of the library that runs; a constant. */
SBX_API const char *sbx_version(void);

#ifdef __cplusplus
}
#endif

#endif
