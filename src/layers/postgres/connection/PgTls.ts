/**
 * What `sslmode` and the certificates of a URL mean for the driver, as libpq has them.
 *
 * `prefer` is left to the driver, which tries TLS and goes on without it if the server has none. The others require TLS. The driver checks
 * the server's certificate in each of them, which libpq does from `verify-ca` on: a certificate that nothing vouches for is an error here,
 * and `sslrootcert` or the option `ssl` mends it.
 */
import { readFile } from "node:fs/promises"
import type { ConnectionOptions } from "node:tls"
import * as Effect from "effect/Effect"
import { ConnectorError, InvalidAddress } from "../../../schema/ConnectorError.ts"
import type { TenantId } from "../../../schema/TenantId.ts"
import type { Location } from "./PgAddress.ts"

/** The driver's option `ssl`; `undefined` if TLS is preferred and not required. */
export const options = (
  tenant: TenantId,
  { files, host, sslMode }: Location
): Effect.Effect<boolean | ConnectionOptions | undefined, ConnectorError> => {
  if (sslMode === "disable") return Effect.succeed(false)
  const named = Object.entries(files)
  if (sslMode === "prefer" && named.length === 0) return Effect.undefined
  return Effect.forEach(named, ([field, path]) =>
    Effect.map(read(tenant, path), (text) => [field, text] as const)
  ).pipe(
    Effect.map((texts) => ({
      ...Object.fromEntries(texts),
      ...(host.startsWith("/") ? {} : { host }),
      // The chain is checked, and not the name.
      ...(sslMode === "verify-ca" ? { checkServerIdentity: () => undefined } : {})
    }))
  )
}

const read = (tenant: TenantId, path: string): Effect.Effect<string, ConnectorError> =>
  Effect.tryPromise({
    try: () => readFile(path, "utf8"),
    catch: () =>
      ConnectorError.of(tenant, new InvalidAddress({ problem: `the file ${path} of its certificates cannot be read` }))
  })
