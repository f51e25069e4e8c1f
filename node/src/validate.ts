// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * Options that make no sense, found before anything is started. Values may come from plain JavaScript: nothing is taken for granted.
 */
import { SandboxError, fromNative } from "./errors.js";
import { BoundDirectory, MemoryFileSystem } from "./filesystem.js";
import { validateOrigin } from "./http.js";
import { shown } from "./input.js";
import { native } from "./native.js";
import { type SandboxNetworkRule, ruleText } from "./network.js";
import type { SandboxOptions } from "./options.js";

type Unknown = Readonly<Record<string, unknown>>;

function invalid(what: string, cause?: unknown): SandboxError {
	return new SandboxError("ERR_SANDBOX_OPTIONS", `invalid spawnSandbox options: ${what}`, cause === undefined ? {} : { cause });
}

function object(value: unknown, name: string): Unknown {
	if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalid(`${name} must be an object`);
	return value as Unknown;
}

function list(value: unknown, name: string): readonly unknown[] {
	if (value === undefined) return [];
	if (!Array.isArray(value)) throw invalid(`${name} must be an array`);
	return value as readonly unknown[];
}

function text(value: unknown, name: string): string {
	if (typeof value !== "string") throw invalid(`${name} must be a string`);
	if (value.includes("\0")) throw invalid(`${name} must not contain NUL bytes`);
	return value;
}

function isCount(value: unknown): value is number {
	return typeof value === "number" && Number.isSafeInteger(value) && value > 0;
}

function machine(options: Unknown): void {
	if (options["name"] !== undefined) text(options["name"], "name");
	const cpu = options["cpu"] === undefined ? {} : object(options["cpu"], "cpu");
	const vcpus = cpu["vcpus"] ?? 1;
	if (!isCount(vcpus)) throw invalid("cpu.vcpus must be greater than zero");
	if (vcpus > 255) throw invalid("cpu.vcpus must be less than or equal to 255");
	const memory = options["memory"] === undefined ? {} : object(options["memory"], "memory");
	const mib = memory["mib"] ?? 512;
	if (!isCount(mib)) throw invalid("memory.mib must be greater than zero");
	if (mib > 0xffff_ffff) throw invalid("memory.mib must be less than 2^32");
	const engine = options["engine"] ?? "auto";
	if (engine !== "auto" && engine !== "kvm" && engine !== "qemu") throw invalid(`engine must be "auto", "kvm" or "qemu", not ${shown(engine)}`);
	const boot = options["bootTimeoutMs"] ?? 1;
	if (!isCount(boot) || boot > 0xffff_ffff) throw invalid("bootTimeoutMs must be a whole number of milliseconds greater than zero");
}

function kernelAndInit(options: Unknown): void {
	const kernel = object(options["kernel"], "kernel");
	if (kernel["kind"] !== "project-kernel") throw invalid("unsupported kernel kind: use projectKernel()");
	if (!["auto", "raw", "elf"].includes(shown(kernel["format"]))) throw invalid(`unsupported project kernel format: ${shown(kernel["format"])}`);
	const init = object(options["init"], "init");
	if (init["crate"] !== "sandbox-init") throw invalid(`unsupported init crate: ${shown(init["crate"])}`);
}

function prebuilt(rootfs: Unknown, name: string): void {
	if (rootfs["format"] === "directory") throw invalid("directory rootfs is not supported for sandboxed VM launch; use an EROFS rootfs");
	if (rootfs["format"] !== "erofs") throw invalid(`unsupported rootfs format: ${shown(rootfs["format"])}`);
	if (text(rootfs["path"], `${name}.path`) === "") throw invalid(`${name}.path must not be empty`);
}

function overlay(rootfs: Unknown): void {
	const lower = object(rootfs["lower"], "rootfs.lower");
	const upper = object(rootfs["upper"], "rootfs.upper");
	if (lower["kind"] !== "prebuilt") throw invalid(`rootfs linux-overlay-fs lower ${shown(lower["kind"])} is not implemented yet`);
	if (upper["kind"] !== "scratch") throw invalid(`rootfs linux-overlay-fs upper ${shown(upper["kind"])} is not implemented yet`);
	prebuilt(lower, "rootfs.lower");
	if (upper["sizeBytes"] !== undefined && !isCount(upper["sizeBytes"])) throw invalid("rootfs.upper.sizeBytes must be greater than zero");
}

function root(options: Unknown): void {
	const rootfs = object(options["rootfs"], "rootfs");
	if (rootfs["kind"] === "prebuilt") prebuilt(rootfs, "rootfs");
	else if (rootfs["kind"] === "linux-overlay-fs") overlay(rootfs);
	else throw invalid("unsupported rootfs kind");
}

/** A path as it is compared and sent: without a slash at its end, and without two in a row. */
export function canonicalPath(path: string): string {
	return `/${path.split("/").filter((part) => part !== "").join("/")}`;
}

function attachment(value: unknown, name: "mount" | "binding"): string {
	const item = object(value, name);
	const path = item["path"];
	if (typeof path !== "string") throw invalid(`${name}.path must be a string`);
	if (path.includes("\0")) throw invalid(`${name}.path must not contain NUL bytes`);
	if (!path.startsWith("/")) throw invalid(`${name}.path must be absolute`);
	if (path.split("/").some((part) => part === "." || part === "..")) throw invalid(`${name}.path must not contain '.' or '..' components`);
	if (canonicalPath(path) === "/") throw invalid(`${name}.path must not be root`);
	const fs = object(item["fs"], `${name}.fs`);
	if (item["fs"] instanceof MemoryFileSystem) {
		if (fs["maxBytes"] !== undefined && !isCount(fs["maxBytes"])) throw invalid("fs.memory maxBytes must be greater than zero");
		return canonicalPath(path);
	}
	if (item["fs"] instanceof BoundDirectory) {
		if (text(fs["source"], "fs.bind source") === "") throw invalid("fs.bind source must not be empty");
		if (fs["access"] !== "ro" && fs["access"] !== "rw") throw invalid(`fs.bind access must be "ro" or "rw", not ${shown(fs["access"])}`);
		for (const mask of list(fs["mask"], "fs.bind mask")) text(mask, "fs.bind mask");
		if (typeof fs["watch"] !== "boolean") throw invalid(`fs.bind watch must be true or false, not ${shown(fs["watch"])}`);
		return canonicalPath(path);
	}
	for (const operation of ["stat", "list", "read"]) {
		if (typeof fs[operation] !== "function") throw invalid(`${name}.fs of ${path} has no function ${operation}`);
	}
	return canonicalPath(path);
}

function attachments(options: Unknown): void {
	const mounts = new Set<string>();
	const bindings = new Set<string>();
	for (const item of list(options["mounts"], "mounts")) {
		const path = attachment(item, "mount");
		if (mounts.has(path)) throw invalid(`duplicate mount path: ${path}`);
		mounts.add(path);
	}
	for (const item of list(options["bindings"], "bindings")) {
		const path = attachment(item, "binding");
		if (mounts.has(path)) throw invalid(`binding path conflicts with mount path: ${path}`);
		if (bindings.has(path)) throw invalid(`duplicate binding path: ${path}`);
		bindings.add(path);
	}
}

const RULE_KINDS = ["accept-tcp", "accept-udp", "accept-public-internet", "accept-host"];

/** Throws unless it is a rule that libsbx takes; addresses and names are read by libsbx, so that there is one parser. */
export function validateRule(value: unknown): SandboxNetworkRule {
	const rule = object(value, "network.outbound.rules[]");
	if (!RULE_KINDS.includes(shown(rule["kind"]))) throw invalid(`unsupported outbound rule kind: ${shown(rule["kind"])}`);
	for (const port of list(rule["ports"], "network.outbound.rules[].ports")) {
		if (!isCount(port) || port > 65535) throw invalid(`invalid outbound network port: ${shown(port)}`);
	}
	if (rule["kind"] === "accept-tcp" || rule["kind"] === "accept-udp") {
		const cidr = text(rule["cidr"], "cidr");
		const slash = cidr.indexOf("/");
		if (slash < 0) throw invalid(`invalid CIDR range: ${cidr}`);
		if (slash === cidr.length - 1) throw invalid("invalid CIDR prefix: ");
		// A colon here would begin ports in libsbx's text form.
		if (cidr.indexOf(":", slash) >= 0) throw invalid(`invalid CIDR prefix: ${cidr.slice(slash + 1)}`);
	}
	if (rule["kind"] === "accept-host" && text(rule["host"], "host").includes(":")) throw invalid(`invalid host name in a rule: ${shown(rule["host"])}`);
	const checked = value as SandboxNetworkRule;
	try {
		native().policyCheck({ rules: [ruleText(checked)], protocol: "tcp", destination: "192.0.2.1:1" });
	} catch (cause) {
		const error = fromNative(cause);
		throw error instanceof SandboxError && error.code === "EINVAL" ? invalid(error.message, error) : error;
	}
	return checked;
}

function http(options: Unknown): void {
	if (options["certificateAuthority"] !== undefined) {
		const authority = object(options["certificateAuthority"], "network.http.certificateAuthority");
		for (const name of ["certificatePem", "privateKeyPem"]) text(authority[name], `network.http.certificateAuthority.${name}`);
	}
	if (options["trustPem"] !== undefined) text(options["trustPem"], "network.http.trustPem");
	for (const item of list(options["headers"], "network.http.headers")) {
		const header = object(item, "network.http.headers[]");
		text(header["name"], "network.http.headers[].name");
		text(header["value"], "network.http.headers[].value");
		validateOrigin(header["origin"]);
	}
	for (const item of list(options["secrets"], "network.http.secrets")) {
		const secret = object(item, "network.http.secrets[]");
		for (const name of ["placeholder", "value"]) text(secret[name], `network.http.secrets[].${name}`);
		validateOrigin(secret["origin"]);
	}
}

function network(options: Unknown): void {
	if (options["network"] === undefined) return;
	const net = object(options["network"], "network");
	if (net["http"] !== undefined && net["outbound"] === undefined) throw invalid("network.outbound is required when HTTP interception is configured");
	if (net["http"] !== undefined) http(object(net["http"], "network.http"));
	if (net["outbound"] === undefined) return;
	const outbound = object(net["outbound"], "network.outbound");
	if (outbound["policy"] !== "deny") throw invalid("network.outbound.policy must be deny");
	for (const rule of list(outbound["rules"], "network.outbound.rules")) validateRule(rule);
}

const DEPTH_MAX = 8; // more than options have

/** A copy of plain objects and arrays, but for mounts and bindings, which are given back as they are. What is looked at later is what was looked at first. */
function copied(value: unknown, depth = 0): unknown {
	if (depth > DEPTH_MAX || typeof value !== "object" || value === null) return value;
	if (Array.isArray(value)) return value.map((item) => copied(item, depth + 1));
	if (Object.getPrototypeOf(value) !== Object.prototype || "fs" in value) return value;
	return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, copied(part, depth + 1)]));
}

/** The options, read once; throws unless they make sense. */
export function readOptions(value: unknown): SandboxOptions {
	const options = object(copied(value), "options");
	machine(options);
	kernelAndInit(options);
	root(options);
	attachments(options);
	network(options);
	return options as unknown as SandboxOptions;
}
