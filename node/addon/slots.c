/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* node/addon/slots.c - what JavaScript knows by a number: its slot and how often that was used, so that a number whose thing is gone means nothing any
 * more. Of fixed size, as libsbx bounds what is open at once. */
#include "addon.h"

enum { GENERATIONS = 1 << 20 }; /* numbers stay below 2^31 */

void slots_init(struct slots *t)
{
	for (uint32_t i = 0; i < SLOTS_MAX; i++)
		t->free[i] = (uint16_t)(SLOTS_MAX - 1 - i);
	t->free_count = SLOTS_MAX;
}

uint32_t slots_add(struct slots *t, void *item)
{
	uint32_t i;

	if (t->free_count == 0)
		return 0;
	i = t->free[--t->free_count];
	t->slot[i].item = item;
	t->slot[i].generation = t->slot[i].generation % GENERATIONS + 1; /* never 0: nor is a number */
	return t->slot[i].generation * SLOTS_MAX + i;
}

void *slots_del(struct slots *t, uint32_t id)
{
	uint32_t i = id % SLOTS_MAX;
	void *item = t->slot[i].item;

	if (!item || t->slot[i].generation != id / SLOTS_MAX)
		return NULL;
	t->slot[i].item = NULL;
	t->free[t->free_count++] = (uint16_t)i;
	return item;
}

void *slots_get(const struct slots *t, uint32_t id)
{
	const struct slot *s = &t->slot[id % SLOTS_MAX];

	return s->generation == id / SLOTS_MAX ? s->item : NULL;
}

struct slot *slots_place(struct slots *t, uint32_t id)
{
	return &t->slot[id % SLOTS_MAX];
}

uint32_t slots_id(const struct slots *t, const struct slot *place)
{
	return place->generation * SLOTS_MAX + (uint32_t)(place - t->slot);
}

void *slots_any(const struct slots *t, uint32_t *ret_id)
{
	for (uint32_t i = 0; i < SLOTS_MAX; i++) {
		if (t->slot[i].item) {
			*ret_id = t->slot[i].generation * SLOTS_MAX + i;
			return t->slot[i].item;
		}
	}
	return NULL;
}

bool thing_get(napi_env env, napi_callback_info info, size_t want, enum thing_kind kind, struct thing *ret)
{
	static const char *const names[] = {
		[THING_PROGRAM] = "the program's number",
		[THING_FILE_CALL] = "the call's number",
		[THING_HTTP_CALL] = "the request's number",
	};

	if (!args_get(env, info, want, ret->args) || !(ret->vm = vm_get(env, ret->args[0])) || !value_u32(env, ret->args[1], names[kind], &ret->id))
		return false;
	ret->item = slots_get(&ret->vm->things[kind], ret->id);
	return true;
}
