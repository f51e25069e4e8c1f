// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * Arguments that may come from plain JavaScript: what each has to be. A wrong one is an `EINVAL` that names it.
 */
import { SandboxError } from "./errors.js";

/** A value in a message. */
export function shown(value: unknown): string {
	return typeof value === "string" ? value : typeof value === "number" || typeof value === "boolean" ? String(value) : value === null ? "null" : typeof value;
}

export function invalidInput(message: string): SandboxError {
	return new SandboxError("EINVAL", message);
}

/** An object whose properties will be looked at. */
export function objectOf<T extends object>(value: T, name: string): T {
	if (typeof value !== "object" || value === null) throw invalidInput(`${name} must be an object`);
	return value;
}

export function textOf(value: unknown, name: string): string {
	if (typeof value !== "string") throw invalidInput(`${name} must be a string`);
	return value;
}

/** Bytes, or text as UTF-8. */
export function bytesOf(value: unknown, name: string): Uint8Array {
	if (typeof value === "string") return Buffer.from(value, "utf8");
	if (!(value instanceof Uint8Array)) throw invalidInput(`${name} must be a string or a Uint8Array`);
	return value;
}

export function wholeOf(value: unknown, name: string, least: number, most: number = Number.MAX_SAFE_INTEGER): number {
	if (typeof value === "number" && Number.isSafeInteger(value) && value >= least && value <= most) return value;
	throw invalidInput(`${name} must be a whole number from ${least} ${most === Number.MAX_SAFE_INTEGER ? "on" : `to ${most}`}`);
}

export function signalOf(value: unknown): AbortSignal | undefined {
	if (value !== undefined && !(value instanceof AbortSignal)) throw invalidInput("signal must be an AbortSignal");
	return value;
}
