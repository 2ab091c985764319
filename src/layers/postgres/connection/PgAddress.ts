/**
 * Where a connection URL leads, and how: the part of libpq's connection URIs that this library supports.
 *
 * The driver makes no socket here, since sockets have to be destroyed when a peer does not answer. So the URL is taken
 * apart before the driver sees it. A parameter that would be ignored is refused by name: a setting that silently does
 * nothing is a fault that an operator cannot see. No failure repeats a part of the URL but the names of parameters,
 * since a URL may hold a password.
 *
 * Parameters: https://www.postgresql.org/docs/18/libpq-connect.html#LIBPQ-PARAMKEYWORDS
 */
import { isIP } from "node:net"
import * as Result from "effect/Result"
import { parse as parseConnectionString } from "pg-connection-string"

/** What `net.connect` takes. */
export type PgAddress = { readonly host: string; readonly port: number } | { readonly path: string }

/** How much of TLS a connection has, as libpq names it; `allow` counts as `prefer`. */
export type SslMode = "disable" | "prefer" | "require" | "verify-ca" | "verify-full"

/** A URL, taken apart. */
export interface Location {
  /** What is connected to: `hostaddr` if the URL has it, else the host. */
  readonly address: PgAddress
  /** The name of the server, for TLS and for messages; the directory of the socket if it is one. */
  readonly host: string
  readonly port: number
  readonly user: string | undefined
  readonly password: string | undefined
  readonly database: string | undefined
  readonly sslMode: SslMode
  /** Files with certificates, as the URL names them. */
  readonly files: { readonly ca?: string; readonly cert?: string; readonly key?: string }
  /** In seconds; `undefined` if the URL does not say. 0 means no limit. */
  readonly connectTimeout: number | undefined
  /** Settings for the session, `-c name=value`. */
  readonly options: string | undefined
}

/** `host:port/database`, as messages name it. */
export const show = ({ address, database, host, port }: Location): string =>
  `${"path" in address ? address.path : `${host}:${port}`}${database === undefined ? "" : `/${database}`}`

/** Where a client leads, for messages, and whether it may use TLS. */
export interface Server {
  readonly address: string
  readonly encrypts: boolean
}

const servers = new WeakMap<object, Server>()

/** Remembers where a client leads, so that a statement that fails on it can say so. */
export const remember = (client: object, server: Server): void => {
  servers.set(client, server)
}

/** Where a client leads; `undefined` for one that a connector of the application's own made. */
export const of = (client: object): Server | undefined => servers.get(client)

/** The server cuts longer names without a word, and two tenants could then share one database. */
const longestName = 63

/** Parameters that the parser of the URL leaves to this module. */
const own = ["sslmode", "sslrootcert", "sslcert", "sslkey"]

/** Parameters that may stand in a URL, with the values that change nothing here. `undefined`: every value. */
const supported: Readonly<Record<string, ReadonlyArray<string> | undefined>> = {
  ...Object.fromEntries(own.map((name) => [name, undefined])),
  host: undefined,
  hostaddr: undefined,
  port: undefined,
  user: undefined,
  password: undefined,
  dbname: undefined,
  connect_timeout: undefined,
  options: undefined,
  ssl: ["true"],
  // The sessions of this library have names of their own.
  application_name: undefined,
  fallback_application_name: undefined,
  client_encoding: ["utf8", "utf-8", "auto"],
  gssencmode: ["disable", "prefer"],
  channel_binding: ["disable", "prefer"],
  target_session_attrs: ["any"],
  keepalives: ["1"]
}

const sslModes: Readonly<Record<string, SslMode>> = {
  disable: "disable",
  allow: "prefer",
  prefer: "prefer",
  require: "require",
  "verify-ca": "verify-ca",
  "verify-full": "verify-full"
}

const malformed = "it is not a URL of the form postgres://user@host:port/database"

/** Most often the URL comes from a variable that is not set. */
const empty = "it is empty; is the variable set that it is read from?"

/** What is behind it is taken for a database or a parameter, which messages name: it may be the rest of a password. */
const misplaced = "it holds an @ behind its host; write it as %40, and a / or ? in a password as %2F or %3F"

/** Takes a URL apart, or says what is wrong with it. */
export const parse = (url: string): Result.Result<Location, string> => {
  if (url.trim() === "") return Result.fail(empty)
  if (!/^\w+:\/\//.test(url) || /%(?![0-9a-f]{2})/i.test(url)) return Result.fail(malformed)
  if (!/^postgres(ql)?:/.test(url)) return Result.fail("it does not begin with postgres:// or postgresql://")
  if (/\/\/[^/?]*[/?].*@/s.test(url)) return Result.fail(misplaced)
  if (url.includes("#")) return Result.fail("it holds a #, which ends a URL; write it as %23")
  const [, given = "", query = ""] = /^([^?]*)\??(.*)$/s.exec(url)!
  // Not by the parser, which then takes %2F for %252F.
  const base = given.trimEnd().replaceAll(" ", "%20")
  // As libpq, the last one of a name counts. A plus is a space, as `URL` writes it.
  const parameters = new URLSearchParams([...new Map(new URLSearchParams(query))])
  // As JDBC has it, and libpq for its sake.
  if (parameters.get("ssl") === "true") {
    parameters.delete("ssl")
    parameters.set("sslmode", "require")
  }
  const problem = [...parameters].map(([name, value]) => problemOf(name, value)).find((found) => found !== undefined)
  if (problem !== undefined) return Result.fail(problem)
  if ([authorityOf(base), parameters.get("host"), parameters.get("hostaddr")].some((hosts) => hosts?.includes(","))) {
    return Result.fail("it names several hosts, which is not supported; give one address that leads to the primary")
  }
  const rest = new URLSearchParams([...parameters].filter(([name]) => !own.includes(name) && name !== "dbname"))
  let parsed: ReturnType<typeof parseConnectionString>
  try {
    parsed = parseConnectionString(rest.size === 0 ? base : `${base}?${rest}`)
  } catch {
    return Result.fail(malformed)
  }
  const path = pathOf(base)
  return path === undefined ? Result.fail(malformed) : locate(parsed, path, parameters)
}

const locate = (
  parsed: ReturnType<typeof parseConnectionString>,
  path: string,
  parameters: URLSearchParams
): Result.Result<Location, string> => {
  const host = parsed.host || "localhost"
  const port = wholeOf(parsed.port || "5432")
  if (!(port >= 1 && port <= 65535)) return Result.fail("its port is not between 1 and 65535")
  const user = parsed.user || undefined
  const database = parameters.get("dbname") || path || user
  for (const [what, name] of [
    ["user", user],
    ["database", database]
  ] as const) {
    if (name?.includes("\0")) return Result.fail(malformed)
    const bytes = Buffer.byteLength(name ?? "")
    if (bytes > longestName) {
      return Result.fail(`the name of its ${what} has ${bytes} bytes, and PostgreSQL cuts names at ${longestName}`)
    }
  }
  const timeout = parameters.get("connect_timeout")
  const connectTimeout = timeout === null ? undefined : wholeOf(timeout)
  if (Number.isNaN(connectTimeout)) {
    return Result.fail("its connect_timeout is not a number of seconds")
  }
  const hostaddr = parameters.get("hostaddr") || undefined
  if (hostaddr !== undefined && isIP(hostaddr) === 0) return Result.fail("its hostaddr is not an IP address")
  const address: PgAddress = host.startsWith("/")
    ? { path: `${host}/.s.PGSQL.${port}` }
    : { host: hostaddr ?? host, port }
  const file = (field: "ca" | "cert" | "key", name: string) => {
    const path = parameters.get(name)
    return path === null || path === "" || path === "system" ? {} : { [field]: path }
  }
  return Result.succeed({
    address,
    host,
    port,
    user,
    password: parsed.password || undefined,
    database: database || undefined,
    sslMode: sslModes[parameters.get("sslmode") ?? ""] ?? (isLocal(address) ? "disable" : "prefer"),
    files: { ...file("ca", "sslrootcert"), ...file("cert", "sslcert"), ...file("key", "sslkey") },
    connectTimeout,
    options: parameters.get("options") ?? undefined
  })
}

/** In digits alone: an empty text is 0 to `Number`, which as a time-out means no limit. */
const wholeOf = (text: string): number => (/^\d{1,9}$/.test(text) ? Number(text) : Number.NaN)

const problemOf = (name: string, value: string): string | undefined => {
  // Object.hasOwn: a parameter may be named as a method of objects is.
  if (!Object.hasOwn(supported, name)) return `its parameter ${name.slice(0, 64)} is not supported; leave it out`
  const values = supported[name]
  if (values !== undefined && !values.includes(value.toLowerCase())) {
    return `its parameter ${name} may only be ${values.join(" or ")}`
  }
  if (name === "sslrootcert" && value === "system") {
    return "its sslrootcert=system is not supported; say sslmode=verify-full, which trusts the authorities that Node does"
  }
  return name === "sslmode" && !Object.hasOwn(sslModes, value)
    ? `its sslmode is none of ${Object.keys(sslModes).join(", ")}`
    : undefined
}

/** Host and port, between the credentials and the path. */
const authorityOf = (base: string): string => {
  const [authority = ""] = base.replace(/^postgres(ql)?:\/\//, "").split("/", 1)
  return authority.slice(authority.lastIndexOf("@") + 1)
}

/**
 * The database that the path names. The parser leaves %23, %2F and %3F in it as they are; as it does, this drops line
 * ends. `undefined` if it is not UTF-8.
 */
const pathOf = (base: string): string | undefined => {
  const [, path = ""] = /^[^:]*:\/\/[^/]*\/(.*)$/s.exec(base) ?? []
  try {
    return decodeURIComponent(path.replaceAll(/[\t\r\n]/g, ""))
  } catch {
    return undefined
  }
}

/**
 * Whether nothing between the two ends can listen: a socket, or this machine's own addresses. A name may begin as they
 * do: 127.example.com.
 */
const isLocal = (address: PgAddress): boolean =>
  "path" in address ||
  address.host === "localhost" ||
  address.host === "::1" ||
  (isIP(address.host) === 4 && address.host.startsWith("127."))
