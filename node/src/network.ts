// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * What may leave the guest. Rules only admit: what none admits is denied.
 */
import type { SandboxHttpHeader, SandboxHttpSecret } from "./http.js";
import { objectOf } from "./input.js";

interface Ports {
	/** Ports from 1 to 65535. Left out or empty: every port. */
	readonly ports?: readonly number[];
}

/** A rule of egress; make one with {@link acceptTcp}, {@link acceptUdp}, {@link acceptPublicInternet} or {@link acceptHost}. */
export type SandboxNetworkRule =
	| ({ readonly kind: "accept-tcp"; readonly cidr: string } & Ports)
	| ({ readonly kind: "accept-udp"; readonly cidr: string } & Ports)
	| ({ readonly kind: "accept-public-internet" } & Ports)
	| ({ readonly kind: "accept-host"; readonly host: string } & Ports);

/** Interception of HTTP. */
export interface SandboxHttpOptions {
	/** The authority that the guest is to trust. Default: one is made for each VM. */
	readonly certificateAuthority?: {
		readonly certificatePem: string;
		/** ECDSA or RSA. */
		readonly privateKeyPem: string;
	};
	/** Certificates of authorities that vouch for servers, besides this machine's own; PEM. */
	readonly trustPem?: string;
	/** Headers that requests get without a hook: credentials that neither the guest nor a hook sees. */
	readonly headers?: readonly SandboxHttpHeader[];
	/** Secrets that the guest has placeholders of; make them with `httpSecret()`. */
	readonly secrets?: readonly SandboxHttpSecret[];
}

/** The network of a VM. */
export interface SandboxNetworkOptions {
	/** Left out: no network interface at all. */
	readonly outbound?: {
		/** What happens to a flow that no rule admits. */
		readonly policy: "deny";
		readonly rules: readonly SandboxNetworkRule[];
	};
	/** Needs `outbound`. */
	readonly http?: SandboxHttpOptions;
}

function withPorts<T extends object>(rule: T, ports: readonly number[] | undefined): T & Ports {
	return ports === undefined ? rule : { ...rule, ports: Array.isArray(ports) ? [...(ports as readonly number[])] : ports }; // what it is, is checked with the options
}

/**
 * TCP to an address range, IPv4 or IPv6. Addresses are read by `createSandbox`, which refuses ranges with bits below the prefix. The guest's gateway, 10.0.2.1, stands for this machine's loopback.
 *
 * ```ts
 * acceptTcp({ cidr: "127.0.0.1/32", ports: [8080] })
 * ```
 */
export function acceptTcp(options: { readonly cidr: string } & Ports): SandboxNetworkRule {
	return withPorts({ kind: "accept-tcp", cidr: objectOf(options, "options").cidr }, options.ports);
}

/**
 * UDP to an address range, IPv4 or IPv6.
 *
 * ```ts
 * acceptUdp({ cidr: "192.0.2.0/24", ports: [53, 123] })
 * ```
 */
export function acceptUdp(options: { readonly cidr: string } & Ports): SandboxNetworkRule {
	return withPorts({ kind: "accept-udp", cidr: objectOf(options, "options").cidr }, options.ports);
}

/**
 * TCP and UDP to globally routable addresses: none that are loopback, private, link-local, multicast, reserved or for cloud metadata.
 *
 * ```ts
 * acceptPublicInternet({ ports: [80, 443] })
 * ```
 */
export function acceptPublicInternet(options: Ports = {}): SandboxNetworkRule {
	return withPorts({ kind: "accept-public-internet" }, objectOf(options, "options").ports);
}

/**
 * TCP to the addresses that the guest's resolver gave for a name; `*.example.com` is for every name below.
 *
 * ```ts
 * acceptHost({ host: "*.example.com", ports: [443] })
 * ```
 */
export function acceptHost(options: { readonly host: string } & Ports): SandboxNetworkRule {
	return withPorts({ kind: "accept-host", host: objectOf(options, "options").host }, options.ports);
}

/** The rule as libsbx reads it. Values must have been validated. */
export function ruleText(rule: SandboxNetworkRule): string {
	const ports = rule.ports && rule.ports.length > 0 ? `:${rule.ports.join(",")}` : "";
	switch (rule.kind) {
		case "accept-tcp":
			return `tcp:${rule.cidr}${ports}`;
		case "accept-udp":
			return `udp:${rule.cidr}${ports}`;
		case "accept-public-internet":
			return `public${ports}`;
		case "accept-host":
			return `host:${rule.host}${ports}`;
	}
}
