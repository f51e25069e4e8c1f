/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* node/addon/addon.h - what the files of the Node-API addon share. */
#ifndef NODE_ADDON_ADDON_H
#define NODE_ADDON_ADDON_H

#include <node_api.h>
#include <sbx.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(p, type, member) ((type *)((char *)(p)-offsetof(type, member)))

/* ---- value.c: JavaScript values in and out. What returns false has left an exception pending. ---- */

/* True if a Node-API call worked; else it has thrown, or this throws. */
bool napi_good(napi_env env, napi_status status);
/* Throws an Error with the property errno (a negative one of Linux) and, if there is any, console. False, always. */
bool throw_error(napi_env env, int code, const struct sbx_err *err);
bool throw_text(napi_env env, int code, const char *message);
bool error_create(napi_env env, int code, const struct sbx_err *err, napi_value *ret);
/* The exception that a handler threw becomes an uncaught one of the process; without one, nothing happens. */
void report_exception(napi_env env);
/* At least @want arguments, and at most ARGS_MAX. */
enum { ARGS_MAX = 8 };
bool args_get(napi_env env, napi_callback_info info, size_t want, napi_value args[ARGS_MAX]);

/* Memory that lives as long as what was made from it. */
struct arena {
	struct arena_block *blocks;
};
void *arena_alloc(napi_env env, struct arena *a, size_t size); /* zeroed; NULL with an exception pending */
void arena_free(struct arena *a);

/* Properties of an object. One that is undefined or null leaves the output as it is. */
bool prop_string(napi_env env, napi_value obj, const char *name, struct arena *a, const char **ret);
bool prop_strings(napi_env env, napi_value obj, const char *name, struct arena *a, const char *const **ret, size_t *ret_count);
bool prop_u32(napi_env env, napi_value obj, const char *name, uint32_t *ret);
bool prop_u64(napi_env env, napi_value obj, const char *name, uint64_t *ret); /* an integer up to 2^53 */
/* An array of at most @max; none is empty. */
bool prop_list(napi_env env, napi_value obj, const char *name, uint32_t max, napi_value *ret, uint32_t *ret_count);
bool prop_bytes(napi_env env, napi_value obj, const char *name, const void **ret, size_t *ret_len); /* as value_bytes() */
bool prop_flag(napi_env env, napi_value obj, const char *name, uint32_t bit, uint32_t *flags);
/* False in @ret_present: undefined or null. */
bool prop_value(napi_env env, napi_value obj, const char *name, napi_value *ret, bool *ret_present);

bool value_u32(napi_env env, napi_value v, const char *what, uint32_t *ret);
bool value_u64(napi_env env, napi_value v, const char *what, uint64_t *ret);
bool value_string(napi_env env, napi_value v, const char *what, struct arena *a, const char **ret);
bool value_optional_string(napi_env env, napi_value v, const char *what, struct arena *a, const char **ret); /* undefined leaves it as it is */
bool value_strings(napi_env env, napi_value v, const char *what, struct arena *a, const char *const **ret, size_t *ret_count);
/* The bytes of a Uint8Array (a Buffer), which are its; valid while no JavaScript runs. */
bool value_bytes(napi_env env, napi_value v, const char *what, const void **ret, size_t *ret_len);
napi_value number_value(napi_env env, double n);
napi_value undefined_value(napi_env env);

/* An object that is filled in; one failure makes it fail for good. */
struct object {
	napi_env env;
	napi_value value;
	bool bad;
};
void object_init(struct object *o, napi_env env);
void object_set(struct object *o, const char *name, napi_value v);
void object_number(struct object *o, const char *name, double n);
void object_bool(struct object *o, const char *name, bool b);
void object_string(struct object *o, const char *name, const char *text);
/* An array of @count, each made by @item of @array. */
void object_list(struct object *o, const char *name, size_t count, napi_value (*item)(napi_env env, const void *array, size_t i), const void *array);
napi_value object_value(struct object *o); /* NULL with an exception pending */

/* ---- job.c: work on a thread of the pool that ends in a promise ---- */

struct job {
	napi_async_work work;
	napi_deferred deferred;
	void (*run)(struct job *job); /* on another thread: no Node-API */
	/* On the environment's thread, once; releases the job. The value to resolve with, or false with @ret the reason. JavaScript may be impossible by
	 * then (the environment ends): then calls fail, and nobody looks at @ret. */
	bool (*settle)(napi_env env, struct job *job, napi_value *ret);
};
bool job_start(napi_env env, struct job *job, const char *name, napi_value *ret_promise);

/* ---- slots.c: what JavaScript knows by a number ---- */

enum { SLOTS_MAX = 1024 };
_Static_assert((int)SLOTS_MAX >= (int)SBX_FS_CALLS_MAX && (int)SLOTS_MAX >= (int)SBX_HTTP_CALLS_MAX && (int)SLOTS_MAX > (int)SBX_PROC_MAX,
	       "there is a slot for each");

struct slots {
	struct slot {
		void *item; /* NULL: free */
		uint32_t generation;
	} slot[SLOTS_MAX];
	uint16_t free[SLOTS_MAX]; /* a stack of @free_count slots */
	uint32_t free_count;
};
void slots_init(struct slots *t);
uint32_t slots_add(struct slots *t, void *item); /* a number, or 0: there is no room */
void *slots_get(const struct slots *t, uint32_t id);
void *slots_del(struct slots *t, uint32_t id); /* what it was, or NULL */
/* A number as a pointer, for those who keep a pointer with a thing. */
struct slot *slots_place(struct slots *t, uint32_t id);
uint32_t slots_id(const struct slots *t, const struct slot *place);
void *slots_any(const struct slots *t, uint32_t *ret_id);

enum thing_kind {
	THING_PROGRAM,   /* struct program of proc.c */
	THING_FILE_CALL, /* struct sbx_fs_call that JavaScript has to answer */
	THING_HTTP_CALL, /* struct sbx_http_call, likewise */
	THING_COUNT_
};

/* What a call about one of a VM's things begins with: (handle, number, ...). False with an exception pending; of a thing that is gone, item is NULL. */
struct thing {
	napi_value args[ARGS_MAX];
	struct vm_handle *vm;
	uint32_t id;
	void *item;
};
bool thing_get(napi_env env, napi_callback_info info, size_t want, enum thing_kind kind, struct thing *ret);

/* ---- vm.c: a VM and its place in the event loop ---- */

/* What a VM tells: functions of the object that start() is given, by these names. */
enum vm_event {
	EV_READY,
	EV_END,
	EV_LOG,
	EV_OOM,
	EV_OUTPUT,
	EV_WRITABLE,
	EV_EXIT,
	EV_CALL,
	EV_CANCEL,
	EV_TOOL,
	EV_GUEST,
	EV_CONTROL,
	EV_REQUEST,
	EV_REQUEST_CANCEL,
	EV_COUNT_
};

/* A file system that JavaScript implements, by its number there. */
struct file_source {
	struct vm_handle *vm;
	uint32_t number;
};

/* A hook of the guest's requests, by its place. */
struct http_source {
	struct vm_handle *vm;
	uint32_t number;
};

enum vm_state { VM_STARTING,
		VM_OPEN,
		VM_CLOSING,
		VM_CLOSED };

struct vm_handle {
	napi_env env;
	enum vm_state state; /* but for VM_OPEN, no event reaches JavaScript, and callbacks may come on another thread */
	struct sbx_vm *vm;
	unsigned refs;        /* the JavaScript object; the poll handle; a job */
	uv_poll_t *poll;      /* NULL: not in the loop */
	unsigned dispatching; /* calls on the stack in which handlers are called */
	napi_ref handler[EV_COUNT_];
	napi_async_context context;
	napi_async_cleanup_hook_handle hook;
	struct slots things[THING_COUNT_];
	struct file_source *files; /* the VM's callbacks point into it */
	struct http_source *hooks; /* likewise */
};

napi_value vm_start(napi_env env, napi_callback_info info);    /* (config, handlers) -> Promise of a handle */
napi_value vm_close(napi_env env, napi_callback_info info);    /* (handle) -> Promise */
napi_value vm_host_pid(napi_env env, napi_callback_info info); /* (handle) -> process */
/* The VM of a handle that is open; else an exception says that it is closed. */
struct vm_handle *vm_get(napi_env env, napi_value handle);

/* An event on its way to JavaScript. */
struct event {
	struct vm_handle *vm;
	napi_handle_scope scope;
	napi_value args[ARGS_MAX];
	size_t count;
	bool bad;
};
bool event_begin(struct event *e, struct vm_handle *vm); /* false: nobody wants to hear it */
void event_add(struct event *e, napi_status status, napi_value v);
void event_number(struct event *e, double n);
void event_string(struct event *e, const char *text);
void event_bytes(struct event *e, const void *data, size_t len);
void event_send(struct event *e, enum vm_event which); /* and ends it */
void event_drop(struct event *e);                      /* ends it unsent */

/* ---- config.c ---- */

/* What the host process writes as it goes, for JavaScript to read: pipes, whose ends to read are properties of the handle. */
enum vm_pipe { PIPE_CONSOLE,
	       PIPE_FLOWS,
	       PIPE_REQUESTS,
	       PIPE_COUNT_ };

struct vm_config {
	struct arena arena;
	struct sbx_vm_config c;
	int pipe[PIPE_COUNT_][2]; /* -1: none */
};
/* Allocates @vm->files, if it takes any. */
bool config_parse(napi_env env, napi_value v, struct vm_handle *vm, struct vm_config *ret);
/* Hands the ends to read over to @handle. */
bool config_give_pipes(napi_env env, napi_value handle, struct vm_config *c);
void config_done(struct vm_config *c);

/* ---- proc.c: programs ---- */

napi_value proc_exec(napi_env env, napi_callback_info info);        /* (handle, argv, env, cwd, user, flags, time limit, size) -> id */
napi_value proc_write(napi_env env, napi_callback_info info);       /* (handle, id, bytes) -> bytes taken, or a negative errno */
napi_value proc_close_stdin(napi_env env, napi_callback_info info); /* (handle, id) -> 0 or a negative errno */
napi_value proc_signal(napi_env env, napi_callback_info info);      /* (handle, id, signal) -> likewise */
napi_value proc_resize(napi_env env, napi_callback_info info);      /* (handle, id, rows, columns) -> likewise */
napi_value proc_abort(napi_env env, napi_callback_info info);       /* (handle, id) -> likewise */
napi_value proc_ack(napi_env env, napi_callback_info info);         /* (handle, id, bytes) */

/* ---- files.c: file systems that JavaScript implements ---- */

#define JS_INTEGER_MAX 9007199254740991U /* the largest that a number holds exactly with all below it */

void calls_release(struct vm_handle *vm); /* all of them, after the VM was freed */
/* Callbacks for the operations in @ops, bits by their numbers; their user is a struct file_source. */
void files_callbacks(uint32_t ops, struct sbx_fs_callbacks *ret);
napi_value file_error(napi_env env, napi_callback_info info);   /* (handle, id, errno) -> 0 or -EINVAL, as all of them */
napi_value file_ok(napi_env env, napi_callback_info info);      /* (handle, id) */
napi_value file_count(napi_env env, napi_callback_info info);   /* (handle, id, count) */
napi_value file_data(napi_env env, napi_callback_info info);    /* (handle, id, bytes) */
napi_value file_stat(napi_env env, napi_callback_info info);    /* (handle, id, { type, mode, size, mtimeMs }) */
napi_value file_entries(napi_env env, napi_callback_info info); /* (handle, id, { names, types }) */

/* ---- requests.c: requests whose results come as events ---- */

struct request_source {
	napi_value value; /* of JavaScript */
	struct arena *arena;
	void *user; /* for request_done() */
};

enum { REQUEST_THROWN = 1 };

struct request_kind {
	enum vm_event event;
	/* 0, a negative errno with words, or REQUEST_THROWN: an exception is pending. */
	int (*submit)(napi_env env, struct sbx_vm *vm, const struct request_source *s, uint32_t *ret_id, struct sbx_err *err);
	int (*cancel)(struct sbx_vm *vm, uint32_t id);
	napi_value (*result)(napi_env env, const void *result);
};
/* Functions of JavaScript, registered with a kind as their data. */
napi_value request_submit(napi_env env, napi_callback_info info); /* (handle, number, request) -> id; the result comes with the number */
napi_value request_cancel(napi_env env, napi_callback_info info); /* (handle, id) -> 0 or a negative errno */
void request_done(void *user, const void *result);

extern const struct request_kind tool_requests;    /* tools.c: the host tools */
napi_value tool_changed(napi_env env, napi_callback_info info); /* (handle, mount, path) -> 0 or a negative errno */
extern const struct request_kind guest_requests;   /* guest.c: the running guest's own files */
extern const struct request_kind control_requests; /* control.c: the VM itself */

/* ---- result.c: parts of results ---- */

void result_begin(struct object *o, napi_env env, int code, const char *message);
void object_bytes(struct object *o, const char *name, const void *data, size_t len);
void object_attr(struct object *o, const char *name, const struct sbx_fs_attr *a);

/* ---- http.c: hooks of the guest's requests ---- */

bool http_parse(napi_env env, napi_value v, struct vm_handle *vm, struct vm_config *ret); /* allocates @vm->hooks */
void http_release(struct vm_handle *vm);                                                  /* all calls, after the VM was freed */
napi_value http_forward(napi_env env, napi_callback_info info);                           /* (handle, id, [name, value, …] to set, [name, …] to delete); throws what cannot be changed */
napi_value http_refuse(napi_env env, napi_callback_info info);                            /* (handle, id, status, text) */
napi_value http_remove(napi_env env, napi_callback_info info);                            /* (handle, hook) -> 0 or a negative errno */

/* ---- queries.c: what needs no VM ---- */

napi_value query_policy(napi_env env, napi_callback_info info);  /* (rules, protocol, destination) -> verdict */
napi_value query_probe(napi_env env, napi_callback_info info);   /* (host path) -> Promise of what the engines can do */
napi_value query_placeholder(napi_env env, napi_callback_info info); /* () -> a random one of a secret */
napi_value query_version(napi_env env, napi_callback_info info); /* () -> the library's version */

#endif
