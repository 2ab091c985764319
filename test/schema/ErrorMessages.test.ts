/** What an operator reads: who, what, and what to do about it. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Schema } from "effect"
import { ConnectionError, SqlError, UnknownError } from "effect/sql/SqlError"
import * as Plane from "effect-systemplane"
import { DuplicateKey, EntryStoreError, InvalidConfigKey, InvalidOption, TenantId } from "effect-systemplane"
import * as PgFailure from "../../src/layers/postgres/connection/PgFailure.ts"

const tenant = TenantId.make("acme")
const other = TenantId.make("globex")
const address = "db.example:5432/tenant_acme"
const changeId = "6f1f9a3e-0000-4000-8000-000000000001"
const names = { namespace: "limits", key: "burst" }

const lastKnown = {
  revision: 3,
  source: "stored",
  updatedAt: undefined,
  updatedBy: "ada",
  stale: true,
  confirmedAt: undefined
} as const

const connector = (reason: Plane.ConnectorErrorReason) => Plane.ConnectorError.of(tenant, reason, address)
const store = (reason: Plane.EntryStoreErrorReason) => Plane.EntryStoreError.of(tenant, reason)
const bootstrap = (reason: Plane.SchemaBootstrapErrorReason) => Plane.SchemaBootstrapError.of(tenant, reason)
const config = (reason: Plane.ConfigErrorReason) => new Plane.ConfigError({ reason })
const activation = (reason: Plane.ActivationErrorReason) => Plane.ActivationError.of(tenant, reason)

const history = (reason: Plane.ChangeHistoryErrorReason) => new Plane.ChangeHistoryError({ reason })

const refused = connector(new Plane.ConnectorError.AuthenticationFailed({ code: "28P01" }))
const missing = bootstrap(
  new Plane.SchemaBootstrapError.SchemaMissing({ parts: ["table systemplane_entries"], sql: "CREATE TABLE …" })
)

/** Every error that the package exports, and the parts of its message that help. */
const errors: ReadonlyArray<readonly [{ readonly message: string }, ...ReadonlyArray<string>]> = [
  [
    connector(new Plane.ConnectorError.UnknownTenant()),
    "Tenant acme at db.example:5432/tenant_acme, resolve",
    "add it to the connector's record, or check the id"
  ],
  [
    connector(new Plane.ConnectorError.ResolverFailed({ name: "VaultSealed" })),
    "Tenant acme at db.example:5432/tenant_acme, resolve",
    "VaultSealed",
    "its own log"
  ],
  [
    connector(new Plane.ConnectorError.InvalidAddress({ problem: "it is no URL" })),
    "Tenant acme at db.example:5432/tenant_acme, resolve",
    "it is no URL"
  ],
  [
    connector(new Plane.ConnectorError.ConnectFailed({ code: "ECONNREFUSED" })),
    "tenant_acme, connect",
    "the port is refused (ECONNREFUSED); start the server"
  ],
  [connector(new Plane.ConnectorError.ConnectFailed({})), "no connection; check that the server runs"],
  [refused, "tenant_acme, connect", "(28P01)", "call rotateCredentials"],
  [
    connector(new Plane.ConnectorError.AuthenticationFailed({ code: "28000", problem: "Role" })),
    "may not log in (28000)",
    "ALTER ROLE … LOGIN"
  ],
  [
    connector(new Plane.ConnectorError.AuthenticationFailed({ code: "28000", problem: "Address" })),
    "log in from here (28000)",
    "to pg_hba.conf"
  ],
  [
    connector(new Plane.ConnectorError.AuthenticationFailed({ code: "28000", problem: "AddressWithoutTls" })),
    "without TLS (28000); say sslmode=require"
  ],
  [connector(new Plane.ConnectorError.AuthenticationFailed({ problem: "NoPassword" })), "there is none; give one"],
  [connector(new Plane.ConnectorError.AuthenticationFailed({ problem: "Method" })), "let it take scram-sha-256"],
  ...(
    [
      ["ENOTFOUND", "does not resolve", "correct the host name"],
      ["EAI_AGAIN", "name server did not answer", "it is tried again"],
      ["ETIMEDOUT", "no answer in time", "a firewall"],
      ["EHOSTUNREACH", "no route to the host", "check the network"],
      ["3D000", "the database does not exist", "create it"],
      ["53300", "no connection left", "CONNECTION LIMIT"],
      ["57P03", "starting up or recovering", "it is tried again"],
      ["25006", "read-only", "the primary"],
      ["57014", "was cancelled", "statement_timeout"],
      ["22P05", "the encoding of the database", "UTF8"],
      ["42501", "lacks CONNECT", "grant CONNECT"],
      ["TLS_REFUSED", "takes no TLS", "sslmode=prefer"],
      ["NOT_POSTGRESQL", "is not a PostgreSQL server", "correct host and port"],
      ["55000", "does not accept connections", "ALLOW_CONNECTIONS"],
      ["42704", "refused the session", "the options of the URL"],
      ["58P01", "refused the session", "its log says why"],
      ["SELF_SIGNED_CERT_IN_CHAIN", "no authority", "sslrootcert"],
      ["ERR_TLS_CERT_ALTNAME_INVALID", "another host name", "verify-ca"],
      ["CERT_HAS_EXPIRED", "not valid at this time", "renew"]
    ] as const
  ).map(
    ([code, problem, advice]) =>
      [connector(new Plane.ConnectorError.ConnectFailed({ code })), problem, `(${code}); `, advice] as const
  ),
  [
    connector(new Plane.ConnectorError.ListenFailed({})),
    "tenant_acme, listen",
    "needs a direct connection to the primary"
  ],
  [
    connector(new Plane.ConnectorError.SessionLost({ code: "57P01" })),
    "tenant_acme, session",
    "(57P01)",
    "being opened again"
  ],
  [connector(new Plane.ConnectorError.DatabasesDiffer()), "tenant_acme, identify", "correct url or listenUrl"],
  [
    connector(new Plane.ConnectorError.DatabaseShared({ other })),
    "tenant_acme, identify",
    "globex; give every tenant a database of its own"
  ],

  [Plane.EntryStoreError.from(refused), "Tenant acme at db.example:5432/tenant_acme", "call rotateCredentials"],
  [store(new Plane.EntryStoreError.Unanswered({ code: "EPIPE" })), "Tenant acme: the database did not answer (EPIPE)"],
  [
    store(new Plane.EntryStoreError.NotAsked({ retryAfter: Duration.millis(399.5) })),
    "Tenant acme",
    "the next is sent in 400 ms"
  ],
  [store(new Plane.EntryStoreError.NotAsked({})), "Tenant acme", "a probe is under way"],
  [store(new Plane.EntryStoreError.Crowded({})), "check where the tenant ids come from, and activate those that exist"],
  [store(new Plane.EntryStoreError.Refused({ code: "42P01" })), "missing or outdated (42P01); run Ddl.sql"],
  [store(new Plane.EntryStoreError.Refused({ code: "42703" })), "missing or outdated (42703); run Ddl.sql"],
  [
    store(new Plane.EntryStoreError.Refused({ code: "42501" })),
    "lacks a privilege (42501); run Ddl.grants(role) on this database, and if a table or a function has changed its owner, first Ddl.sql"
  ],
  [
    store(new Plane.EntryStoreError.Refused({ code: "40P01" })),
    "repeated conflicts with other transactions",
    "(40P01); try again"
  ],
  [
    store(new Plane.EntryStoreError.Refused({ code: "55P03" })),
    "another transaction still holds the row",
    "(55P03); end it, or try again"
  ],
  [
    store(new Plane.EntryStoreError.NotCommitted({ code: "EPIPE" })),
    "before anything was committed (EPIPE)",
    "nothing was written"
  ],
  [store(new Plane.EntryStoreError.Refused({ code: "23502" })), "a column that others added", "give it a default"],
  [store(new Plane.EntryStoreError.Refused({ code: "23503" })), "a foreign key that others put on the table"],
  [store(new Plane.EntryStoreError.Refused({ code: "23505" })), "a unique or exclusion constraint"],
  [store(new Plane.EntryStoreError.Refused({ code: "23514" })), "a CHECK constraint that others put on the table"],
  [store(new Plane.EntryStoreError.Refused({ code: "P0001" })), "refuses it (P0001); the server's log has its words"],
  [store(new Plane.EntryStoreError.Refused({ code: "42P16" })), "Ddl.sql cannot change (42P16)"],
  [store(new Plane.EntryStoreError.Refused({ code: "55000" })), "deferrable key, run Ddl.sql"],
  [store(new Plane.EntryStoreError.Refused({ code: "53400" })), "raise its temp_file_limit"],
  [store(new Plane.EntryStoreError.Refused({ code: "21000" })), "two rows have one name"],
  [
    store(new Plane.EntryStoreError.Refused({ code: "2BP01" })),
    "another object of the database, as a view or a rule, stands in the way"
  ],
  [store(new Plane.EntryStoreError.Refused({ code: "22P02" })), "refused the statement (22P02)"],
  [
    store(new Plane.EntryStoreError.RevisionConflict({ ...names, expected: 3, actual: 5 })),
    "limits/burst is at revision 5, not 3"
  ],

  [missing, "Tenant acme", "table systemplane_entries", "run this as the owner of the schema:\nCREATE TABLE …"],
  [
    bootstrap(
      new Plane.SchemaBootstrapError.SchemaMissing({
        parts: ["a"],
        sql: "CREATE …",
        denied: "the role app lacks CREATE"
      })
    ),
    "(a), and could not be prepared: the role app lacks CREATE. Grant that, or run Ddl.sql"
  ],
  [bootstrap(new Plane.SchemaBootstrapError.TableUnsuitable({ problem: "NotATable" })), "is not a table but a view"],
  [bootstrap(new Plane.SchemaBootstrapError.TableUnsuitable({ problem: "NoSchema" })), "set search_path for the role"],
  [
    bootstrap(new Plane.SchemaBootstrapError.TableUnsuitable({ problem: "ManyTenants" })),
    "give each tenant a database"
  ],
  [bootstrap(new Plane.SchemaBootstrapError.TableUnsuitable({ problem: "RowsHidden" })), "DISABLE ROW LEVEL SECURITY"],
  [
    bootstrap(new Plane.SchemaBootstrapError.TableUnsuitable({ problem: "RowsHidden", table: "systemplane_history" })),
    "ALTER TABLE systemplane_history DISABLE"
  ],
  [bootstrap(new Plane.SchemaBootstrapError.TableUnsuitable({ problem: "Partitioned" })), "put a plain table"],
  [bootstrap(new Plane.SchemaBootstrapError.TableUnsuitable({ problem: "HasRules" })), "DROP RULE"],
  [
    bootstrap(new Plane.SchemaBootstrapError.TableUnsuitable({ problem: "ForeignCode", table: "systemplane_history" })),
    "systemplane_history belongs to another role"
  ],
  [bootstrap(new Plane.SchemaBootstrapError.TableUnsuitable({ problem: "ColumnsLost" })), "mend its columns by hand"],
  [
    bootstrap(new Plane.SchemaBootstrapError.SchemaOutdated({ parts: ["a", "b"], sql: "ALTER …" })),
    "outdated (a, b)",
    "as the owner of the schema:\nALTER …"
  ],
  [
    bootstrap(new Plane.SchemaBootstrapError.PermissionDenied({ sql: "GRANT …" })),
    "as their owner, run the file sql/grants.sql"
  ],
  [bootstrap(new Plane.EntryStoreError.Refused({ code: "42501" })), "run Ddl.grants(role)"],

  [config(new Plane.ConfigError.UnknownKey(names)), "limits/burst", "add it to the keys of SystemplaneLive"],
  [config(new Plane.ConfigError.TenantMissing()), `run the effect inside withTenant("…")`],
  [config(Plane.ConfigError.InvalidTenantId.from("../acme")), `"../acme" is not a tenant id: 1 to 256 letters`],
  [
    history(new Plane.ChangeHistoryError.UnknownRevision({ tenant, ...names, revision: 3 })),
    "tenant acme has no revision 3 of limits/burst",
    "list the revisions with ChangeHistory.ofKey"
  ],
  [
    history(new Plane.ChangeHistoryError.UnknownChange({ tenant, changeId: "42" })),
    'acme has no change "42"',
    "with ChangeHistory.list"
  ],
  [
    history(new Plane.ChangeHistoryError.ValueNotKept({ tenant, ...names, revision: 3 })),
    "limits/burst at revision 3: it is a secret",
    "revision 3"
  ],
  [
    history(
      new Plane.ChangeHistoryError.NoLongerValid({
        tenant,
        problems: [{ ...names, revision: 3, problem: "Expected number" }]
      })
    ),
    "tenant acme: revision 3 of limits/burst is refused: Expected number",
    "set a value that it allows"
  ],
  [
    history(
      new Plane.ChangeHistoryError.ChangedSince({
        tenant,
        conflicts: [
          { ...names, expected: 3, actual: 5, changedBy: "ada", diff: [{ pointer: "", before: 1, after: 2 }] }
        ]
      })
    ),
    'limits/burst is at revision 5, not 3, changed by "ada"',
    "look at these changes, then decide"
  ],
  [
    history(new Plane.ChangeHistoryError.HistoryMissing({ tenant, problem: "run Ddl.sql" })),
    "acme has no history",
    "run Ddl.sql"
  ],
  [
    history(new Plane.ChangeHistoryError.InvalidQuery({ parameter: "limit", expected: "a number" })),
    "limit must be a number"
  ],
  [
    config(new Plane.ConfigError.InvalidValue({ problems: [{ ...names, problem: "Expected number" }] })),
    "limits/burst is refused"
  ],
  [
    config(new Plane.ConfigError.RevisionConflict({ tenant, ...names, expected: 3, actual: 5 })),
    "limits/burst of tenant acme",
    "revision 5, not 3; read it again, then decide"
  ],
  [config(new Plane.ConfigError.UnknownTenant({ tenant })), "no tenant acme"],
  [config(new Plane.ConfigError.Unavailable({ tenant, problem: "no connection" })), "tenant acme", "no connection"],
  [
    config(
      new Plane.ConfigError.Unavailable({
        tenant,
        address,
        problem: "it did not answer (ETIMEDOUT)",
        lastKnown: { ...lastKnown, value: "canary" },
        retryAfter: Duration.millis(250)
      })
    ),
    "tenant acme at db.example:5432/tenant_acme cannot be read or written now"
  ],
  [
    config(new Plane.ConfigError.WriteOutcomeUnknown({ tenant, changeId, keys: [names, { ...names, key: "rate" }] })),
    "limits/burst, limits/rate for tenant acme may or may not have landed",
    "write it again as change 6f1f9a3e"
  ],
  [
    config(
      new Plane.ConfigError.WriteOutcomeUnknown({ tenant, changeId, keys: Array.from({ length: 1000 }, () => names) })
    ),
    "limits/burst and 990 more keys for tenant acme"
  ],
  [
    config(new Plane.ConfigError.InvalidActor({ problem: "it is empty" })),
    "it is empty; name the person or the service"
  ],
  [
    config(new Plane.ConfigError.InvalidChange({ problem: "its changeId is not a UUID" })),
    "its changeId is not a UUID"
  ],
  [config(new Plane.ConfigError.ChangeIdReused({ tenant, changeId })), "give each change an id of its own"],
  [store(new Plane.EntryStoreError.ChangeIdReused({ id: changeId })), "give each change an id of its own"],
  [
    store(
      new Plane.EntryStoreError.Unencodable({
        parts: [{ part: "value", namespace: "limits", key: "burst" }, { part: "actor" }]
      })
    ),
    "cannot hold a character of the value of limits/burst, the actor; use a database in UTF8"
  ],
  [
    store(new Plane.EntryStoreError.Skipped({ triggers: ["audit"] })),
    "a trigger on systemplane_entries (audit) skipped or refused the write",
    "change or drop it"
  ],
  [config(new Plane.ConfigError.NotSupported({ problem: "it cannot be watched" })), "it cannot be watched"],
  [config(new Plane.ConfigError.Closed()), "build a new layer"],

  [Plane.ActivationError.from(refused), "acme at db.example:5432/tenant_acme", "call rotateCredentials"],
  [Plane.ActivationError.from(missing), "acme", "run this as the owner of the schema"],
  [activation(new Plane.EntryStoreError.Unanswered({})), "acme", "did not answer"],
  [
    activation(new Plane.ConnectorError.DatabaseShared({ other })),
    "acme",
    "globex",
    "give every tenant a database of its own"
  ],
  [activation(new Plane.ActivationError.Superseded()), "it was suspended or removed before it was live"],
  [activation(new Plane.ActivationError.BootTimedOut({ millis: 10 })), "acme", "10 ms; raise bootTimeout, or use boot"],

  [
    new Plane.CollidingNames({ name: "BURST", claimants: ["a/burst", "b/burst"] }),
    "a/burst and b/burst are both named BURST",
    "use SystemplaneConfigProvider.layerNamespaced"
  ],
  [new DuplicateKey(names), "limits/burst; declare it once and import it where it is used"],
  [new InvalidConfigKey({ ...names, problem: "its default is wrong" }), "limits/burst", "its default is wrong"],
  [
    new InvalidOption({ option: "boot", expected: `"require" or "background"` }),
    `boot must be "require" or "background"`
  ]
]

const problemsOf = ({ reason }: Plane.ConfigError): ReadonlyArray<string> => {
  switch (reason._tag) {
    case "InvalidValue":
      return reason.problems.map(({ problem }) => problem)
    case "InvalidActor":
    case "InvalidChange":
    case "NotSupported":
    case "Unavailable":
      return [reason.problem]
    default:
      return []
  }
}

describe("an error", () => {
  for (const [error, ...parts] of errors) {
    it(`says what to do: ${error.message.split("\n")[0]}`, () => {
      for (const part of parts) assert.include(error.message, part)
      assert.notInclude(error.message, "undefined")
    })
  }

  it("each error that the package exports is in this list", () => {
    const isError = ([, value]: readonly [string, unknown]) =>
      typeof value === "function" && value.prototype instanceof Error
    const outer = Object.entries(Plane).filter(isError)
    const exported = [
      ...outer,
      ...outer.flatMap(([name, error]) =>
        Object.entries(error)
          .filter(isError)
          .map(([reason, value]) => [`${name}.${reason}`, value] as const)
      )
    ]
    const within = (error: unknown): ReadonlyArray<unknown> =>
      typeof error !== "object" || error === null
        ? []
        : [error, ...Object.values(error).flatMap((part) => (part instanceof Error ? within(part) : []))]
    const listed = errors.flatMap(([error]) => within(error))
    assert.isAbove(exported.length, outer.length)
    assert.deepStrictEqual(
      exported.filter(([, type]) => !listed.some((error) => error instanceof (type as never))).map(([name]) => name),
      []
    )
  })

  it("an error is a codec: as JSON and back it says the same, without the entry that was last known", () => {
    for (const [error] of errors) {
      const json = Schema.fromJsonString(
        Schema.toCodecJson(error.constructor as unknown as Schema.Codec<Error, unknown>)
      )
      const text = Schema.encodeSync(json)(error as Error)
      const decoded = Schema.decodeSync(json)(text)
      assert.instanceOf(decoded, error.constructor as never)
      assert.strictEqual(decoded.message, error.message)
      assert.notInclude(text, "canary")
    }
  })

  const configErrors = errors.map(([error]) => error).filter((error) => error instanceof Plane.ConfigError)

  it("an error of the configuration has a form for strangers that holds neither names of tenants and addresses nor codes", () => {
    assert.isAtLeast(new Set(configErrors.map(({ reason }) => reason._tag)).size, 13)
    const json = Schema.fromJsonString(Schema.toCodecJson(Schema.Union(Plane.PublicConfigError.errors)))
    for (const error of configErrors) {
      const shown = Plane.PublicConfigError.of(error)
      const text = Schema.encodeSync(json)(shown)
      const again = Schema.decodeSync(json)(text)
      assert.deepStrictEqual([again._tag, again.message], [shown._tag, shown.message])
      for (const inside of [
        "acme",
        "globex",
        "db.example",
        "canary",
        "ada",
        "28P01",
        "ETIMEDOUT",
        ...problemsOf(error)
      ]) {
        assert.notInclude(text + shown.message, inside, error.reason._tag)
      }
    }
  })

  it("an error made from one of the driver holds its code, and nothing else of it", () => {
    const canary = "canary"
    const cause = Object.assign(new Error(canary), { code: "28P01", detail: canary, query: canary })
    const reasons = [
      new UnknownError({ cause, message: canary, operation: "query" }),
      new UnknownError({ cause, message: canary, operation: "connect" }),
      new ConnectionError({ cause: { ...cause, code: { canary } }, message: canary, operation: "query" })
    ]
    for (const error of reasons.map((reason) => new SqlError({ reason }))) {
      for (const made of [
        EntryStoreError.of(tenant, PgFailure.statementFailure(error)),
        PgFailure.connectFailure(tenant, error),
        PgFailure.listenFailure(tenant, error),
        PgFailure.sessionLost(tenant, error)
      ]) {
        assert.notInclude([made.message, String(made), JSON.stringify(made), made.stack].join(), canary)
      }
    }
  })
})
