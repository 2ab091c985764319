/**
 * Logging in where the server decides who may, from where, and how: TLS with a certificate that nothing vouches for,
 * and a `pg_hba.conf` that tells roles apart. A server of its own, since these are settings of a server.
 */
import { execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { Connector, PgConnector } from "effect-systemplane"
import * as PostgresServer from "../../dev/PostgresServer.ts"
import { acme } from "./TestStore.ts"

/** A key, and a certificate for `localhost` that is its own authority. */
const certificate = Effect.acquireRelease(
  Effect.sync(() => {
    const directory = mkdtempSync(join(tmpdir(), "systemplane-tls-"))
    const [key, cert] = [join(directory, "server.key"), join(directory, "server.crt")]
    const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    const made = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    execFileSync("openssl", [...made, "-keyout", key, "-out", cert, ...subject], { stdio: "ignore" })
    return { directory, cert, texts: { key: readFileSync(key, "utf8"), cert: readFileSync(cert, "utf8") } }
  }),
  ({ directory }) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
)

const hba = `
local all all trust
host all postgres 127.0.0.1/32 trust
hostssl all secured 127.0.0.1/32 trust
host all anywhere 127.0.0.1/32 trust
host all locked 127.0.0.1/32 trust
host all unknown 127.0.0.1/32 trust
`

/** What a session over a URL says of itself: whether it is encrypted, or why there is none. */
const encrypted = (url: string, options: Partial<PgConnector.PgTarget> = {}) =>
  Effect.gen(function* () {
    const connector = yield* Connector
    const session = yield* connector.session(acme)
    const [row] = yield* session.query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    return (row as { readonly ssl: boolean }).ssl ? "with TLS" : "in the clear"
  }).pipe(
    Effect.scoped,
    Effect.catchTag("ConnectorError", ({ reason }) =>
      Effect.succeed(
        "code" in reason
          ? `${reason.code}${"problem" in reason ? ` ${reason.problem}` : ""}`
          : `${reason._tag}${"problem" in reason ? `: ${reason.problem}` : ""}`
      )
    ),
    Effect.provide(PgConnector.layerRecord({ acme: { ...options, url: Redacted.make(url) } }))
  )

const administer = (url: Redacted.Redacted, statements: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const client = yield* (yield* Connector).client(acme)
    for (const statement of statements) yield* client.unsafe(statement)
  }).pipe(Effect.scoped, Effect.provide(PgConnector.layerRecord({ acme: { url } })))

/** A file in the server's data directory, which is where its programs run. */
const file = (name: string, text: string) =>
  `COPY (SELECT $file$${text.replaceAll("\n", "\u0001")}$file$) TO PROGRAM 'umask 077; tr "\\001" "\\n" > ${name}'`

describe("TLS, and who may log in", () => {
  it.live(
    "G13: TLS is preferred and proves nothing, verify-ca and verify-full check, and each refusal has its own words, also that of options that throw",
    () =>
      Effect.gen(function* () {
        const { cert, texts } = yield* certificate
        const server = yield* PostgresServer.make
        yield* administer(server.url("postgres"), [
          "CREATE ROLE secured LOGIN",
          "CREATE ROLE anywhere LOGIN",
          "CREATE ROLE locked NOLOGIN",
          file("server.key", texts.key),
          file("server.crt", texts.cert),
          file("pg_hba.conf", hba)
        ])
        const at = (role: string, query: string, host = "localhost") =>
          encrypted(`postgres://${role}@${host}:${server.port}/postgres?hostaddr=127.0.0.1&${query}`)

        // Before TLS is switched on. What is not read again yet lets everybody in by password only.
        yield* administer(server.url("postgres"), ["SELECT pg_reload_conf()"])
        const before = {
          prefer: yield* at("anywhere", "sslmode=prefer").pipe(
            Effect.repeat({
              until: (found) => !found.startsWith("28P01") && !found.startsWith("undefined"),
              times: 200
            })
          ),
          require: yield* at("anywhere", "sslmode=require"),
          secured: yield* at("secured", "sslmode=prefer")
        }
        assert.deepStrictEqual(before, {
          prefer: "in the clear",
          require: "TLS_REFUSED",
          secured: "28000 Address"
        })

        yield* administer(server.url("postgres"), ["ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"])
        assert.strictEqual(
          yield* at("anywhere", "sslmode=require").pipe(
            Effect.repeat({ until: (found) => found === "with TLS", times: 200 })
          ),
          "with TLS"
        )
        assert.deepStrictEqual(
          {
            onLoopback: yield* at("anywhere", ""),
            prefer: yield* at("anywhere", "sslmode=prefer"),
            disable: yield* at("anywhere", "sslmode=disable"),
            unverified: yield* at("anywhere", "sslmode=verify-full"),
            trusted: yield* at("anywhere", `sslmode=verify-full&sslrootcert=${cert}`),
            otherName: yield* at("anywhere", `sslmode=verify-full&sslrootcert=${cert}`, "db.example"),
            chainOnly: yield* at("anywhere", `sslmode=verify-ca&sslrootcert=${cert}`, "db.example"),
            required: yield* at("anywhere", `sslmode=require&sslrootcert=${cert}`, "db.example"),
            secured: yield* at("secured", "sslmode=prefer"),
            securedInTheClear: yield* at("secured", "sslmode=disable"),
            notFromHere: yield* at("stranger", "sslmode=prefer"),
            mayNotLogIn: yield* at("locked", "sslmode=prefer"),
            unknown: yield* at("unknown", "sslmode=prefer")
          },
          {
            onLoopback: "in the clear",
            prefer: "with TLS",
            disable: "in the clear",
            unverified: "DEPTH_ZERO_SELF_SIGNED_CERT",
            trusted: "with TLS",
            otherName: "ERR_TLS_CERT_ALTNAME_INVALID",
            chainOnly: "with TLS",
            required: "with TLS",
            secured: "with TLS",
            securedInTheClear: "28000 AddressWithoutTls",
            notFromHere: "28000 Address",
            mayNotLogIn: "28000 Role",
            unknown: "28000 Role"
          }
        )

        // What the options throw, they throw while the driver handles what its socket received: the process would end.
        const rejectUnauthorized = true
        const by = (options: Partial<PgConnector.PgTarget>) =>
          encrypted(`postgres://anywhere@localhost:${server.port}/postgres?hostaddr=127.0.0.1`, options)
        const refused = "InvalidAddress: its certificates or TLS options cannot be used"
        assert.deepStrictEqual(
          {
            sound: yield* by({ ssl: { ca: texts.cert, rejectUnauthorized } }),
            checkThrows: yield* by({ ssl: { ca: texts.cert, rejectUnauthorized, checkServerIdentity: fault } }),
            halfKey: yield* by({ ssl: { cert: texts.cert, key: texts.key.slice(0, 100), rejectUnauthorized: false } }),
            keyFileHoldsACertificate: yield* at("anywhere", `sslmode=require&sslcert=${cert}&sslkey=${cert}`),
            noSuchVersion: yield* by({ ssl: { minVersion: "TLSv9" as any } }),
            optionThrows: yield* by({ ssl: Object.defineProperty({}, "ca", { enumerable: true, get: fault }) }),
            passwordIsNoText: yield* by({ password: Redacted.make(5 as any) })
          },
          {
            sound: "with TLS",
            checkThrows: "TLS_CHECK_THREW",
            halfKey: `${refused} (ERR_OSSL_UNSUPPORTED)`,
            keyFileHoldsACertificate: `${refused} (ERR_OSSL_UNSUPPORTED)`,
            noSuchVersion: `${refused} (ERR_TLS_INVALID_PROTOCOL_VERSION)`,
            optionThrows: `${refused} (TypeError)`,
            passwordIsNoText: "InvalidAddress: its password is no text"
          }
        )
      }).pipe(Effect.scoped)
  )
})

const fault = (): never => {
  throw new TypeError("a fault of the application")
}
