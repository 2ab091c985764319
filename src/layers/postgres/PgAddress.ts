/**
 * Where a connection URL leads.
 *
 * The driver reads the URL too, but it does not connect: sockets are made here, so that they can be destroyed.
 */
import * as Result from "effect/Result"

/** What `net.connect` takes. */
export type PgAddress = { readonly host: string; readonly port: number } | { readonly path: string }

/**
 * The address in a libpq connection URI: a host and port, or a Unix socket where the host is a directory. The failure
 * never repeats the URL.
 *
 * https://www.postgresql.org/docs/18/libpq-connect.html#LIBPQ-CONNSTRING-URIS
 */
export const parse = (url: string): Result.Result<PgAddress, string> => {
  let parsed: URL
  let hostname: string
  try {
    parsed = new URL(url)
    hostname = decodeHost(parsed.hostname)
  } catch {
    return Result.fail("it is not a URL of the form postgres://user@host:port/database")
  }
  if (!/^postgres(ql)?:$/.test(parsed.protocol))
    return Result.fail("it does not begin with postgres:// or postgresql://")
  const host = parsed.searchParams.get("host") ?? hostname
  const port = Number(parsed.searchParams.get("port") ?? (parsed.port === "" ? "5432" : parsed.port))
  if (!Number.isInteger(port) || port < 1 || port > 65535) return Result.fail("its port is not between 1 and 65535")
  return Result.succeed(host.startsWith("/") ? { path: `${host}/.s.PGSQL.${port}` } : { host, port })
}

/**
 * The database that a URL leads to: by default the user's name. `undefined` where the URL does not say, or cannot be read.
 */
export const databaseOf = (url: string): string | undefined => {
  try {
    const { pathname, searchParams, username } = new URL(url)
    return (
      searchParams.get("dbname") ??
      (decodeURIComponent(pathname.slice(1)) || searchParams.get("user") || decodeURIComponent(username) || undefined)
    )
  } catch {
    return undefined
  }
}

const decodeHost = (hostname: string): string => {
  if (hostname === "") return "localhost"
  return hostname.startsWith("[") ? hostname.slice(1, -1) : decodeURIComponent(hostname)
}
