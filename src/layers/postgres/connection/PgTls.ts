/**
 * What `sslmode` and the certificates of a URL mean for the driver, as libpq has them.
 *
 * `prefer` uses TLS if the server takes it, `require` insists on it, and neither proves who the server is. `verify-ca`
 * checks that the chain of its certificate is trusted, `verify-full` its name as well. `sslrootcert` names who is
 * trusted, Node's own authorities if it is absent; a URL that has it is checked as with `verify-ca` at least. The
 * option `ssl` of a target takes the place of all this.
 *
 * Node looks at these options, and calls the functions among them, while the driver handles what a socket received:
 * what is thrown there is caught by no fiber, and ends the process. So they are tried here first.
 */
import { readFile } from "node:fs/promises"
import { Duplex } from "node:stream"
import * as Tls from "node:tls"
import * as Effect from "effect/Effect"
import { ConnectorError, InvalidAddress } from "../../../schema/ConnectorError.ts"
import type { TenantId } from "../../../schema/TenantId.ts"
import * as Redaction from "../../telemetry/Redaction.ts"
import type { Location } from "./PgAddress.ts"

/**
 * The driver's option `ssl`; `undefined` if TLS is preferred, which is not the driver's to negotiate (PgPreferredTls).
 */
export const options = (
  tenant: TenantId,
  { files, host, sslMode }: Location
): Effect.Effect<boolean | Tls.ConnectionOptions | undefined, ConnectorError> => {
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

/**
 * The same options in a form in which Node throws nothing. Fails if it would: with the name of the error only, since
 * the text may repeat a key.
 */
export const checked = (
  tenant: TenantId,
  ssl: boolean | Tls.ConnectionOptions
): Effect.Effect<boolean | Tls.ConnectionOptions, ConnectorError> =>
  typeof ssl !== "object" || ssl === null
    ? Effect.succeed(ssl)
    : Effect.try({
        try: () => {
          const { checkServerIdentity, ...given } = ssl
          const options = {
            ...given,
            // Made once, and not for each connection of a pool.
            secureContext: given.secureContext ?? Tls.createSecureContext(given),
            ...(checkServerIdentity === undefined ? {} : { checkServerIdentity: guarded(checkServerIdentity) })
          }
          Tls.connect({ ...options, socket: nowhere() })
            .on("error", () => {})
            .destroy()
          return options
        },
        catch: (error) =>
          ConnectorError.of(
            tenant,
            new InvalidAddress({ problem: `its certificates or TLS options cannot be used (${nameOf(error)})` })
          )
      })

type Check = NonNullable<Tls.ConnectionOptions["checkServerIdentity"]>

/** A check of the application: a server that it throws for is refused. */
const guarded =
  (check: Check): Check =>
  (host, certificate) => {
    try {
      const refusal: unknown = check(host, certificate)
      // An asynchronous check refuses every server; that it may fail as well ends nothing.
      if (refusal instanceof Promise) refusal.catch(() => {})
      return refusal as Error | undefined
    } catch {
      return Object.assign(new Error("checkServerIdentity threw"), { code: "TLS_CHECK_THREW" })
    }
  }

/** A stream that leads nowhere. */
const nowhere = () => new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done() })

const nameOf = (error: unknown): string =>
  error instanceof Error && "code" in error && typeof error.code === "string" && /^ERR_[A-Z0-9_/]+$/.test(error.code)
    ? error.code
    : Redaction.nameOf(error)

const read = (tenant: TenantId, path: string): Effect.Effect<string, ConnectorError> =>
  Effect.tryPromise({
    try: () => readFile(path, "utf8"),
    catch: () =>
      ConnectorError.of(tenant, new InvalidAddress({ problem: `the file ${path} of its certificates cannot be read` }))
  })
