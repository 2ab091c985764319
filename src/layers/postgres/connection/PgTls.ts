/**
 * What `sslmode` and the certificates of a URL mean for the driver, as libpq has them.
 *
 * `prefer` uses TLS if the server takes it, `require` insists on it, and neither proves who the server is. `verify-ca`
 * checks that the chain of its certificate is trusted, `verify-full` its name as well. `sslrootcert` names who is
 * trusted, Node's own authorities if it is absent; a URL that has it is checked as with `verify-ca` at least. The
 * option `ssl` of a target takes the place of all this.
 */
import { readFile } from "node:fs/promises"
import type { ConnectionOptions } from "node:tls"
import * as Effect from "effect/Effect"
import { ConnectorError, InvalidAddress } from "../../../schema/ConnectorError.ts"
import type { TenantId } from "../../../schema/TenantId.ts"
import type { Location } from "./PgAddress.ts"

/**
 * The driver's option `ssl`; `undefined` if TLS is preferred, which is not the driver's to negotiate (PgPreferredTls).
 */
export const options = (
  tenant: TenantId,
  { files, host, sslMode }: Location
): Effect.Effect<boolean | ConnectionOptions | undefined, ConnectorError> => {
  if (sslMode === "disable") return Effect.succeed(false)
  const named = Object.entries(files)
  if (sslMode === "prefer" && named.length === 0) return Effect.undefined
  const verifies = sslMode === "verify-ca" || sslMode === "verify-full" || files.ca !== undefined
  return Effect.forEach(named, ([field, path]) =>
    Effect.map(read(tenant, path), (text) => [field, text] as const)
  ).pipe(
    Effect.map((texts) => ({
      ...Object.fromEntries(texts),
      ...(host.startsWith("/") ? {} : { host }),
      rejectUnauthorized: verifies,
      // The chain is checked, and not the name.
      ...(sslMode === "verify-full" ? {} : { checkServerIdentity: () => undefined })
    }))
  )
}

const read = (tenant: TenantId, path: string): Effect.Effect<string, ConnectorError> =>
  Effect.tryPromise({
    try: () => readFile(path, "utf8"),
    catch: () =>
      ConnectorError.of(tenant, new InvalidAddress({ problem: `the file ${path} of its certificates cannot be read` }))
  })
