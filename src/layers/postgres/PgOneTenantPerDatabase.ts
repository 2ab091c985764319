/**
 * A database belongs to one tenant only. Each client and session that is opened for a tenant claims the database that
 * it leads to.
 *
 * ```
 *   a tenant opens a client or a session ──▶ which database is it? ──▶ another tenant's: refused
 *                                                        └──▶ not that of the tenant's other session or client: refused
 * ```
 *
 * A claim is on a system identifier and a database in it, so that it outlasts a restart of the server. Clones of one
 * backup share both, and so do a primary and the standby that took its place. They are told apart by the start of their
 * servers, and what is open says so itself: if two starts differ, the one that was opened before is asked again. Its
 * answer proves that its server still runs, hence is another one; no answer proves nothing, since the server may have
 * been restarted. A part that one of two roles may not ask for does not count: the others decide.
 *
 * A tenant keeps its claim from its first session until it is released, or until what it opens leads elsewhere:
 * databases may be renamed, even to each other's names. A tenant that never had a session, such as one that only a late
 * read asked for, keeps its claim as long as its client is open.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { SqlError } from "effect/sql/SqlError"
import { ConnectorError, DatabaseShared, DatabasesDiffer } from "../../schema/ConnectorError.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import type { Query } from "../../services/Connector.ts"
import { statementTimeout } from "../runtime/Timeouts.ts"
import type { Server } from "./connection/PgAddress.ts"
import * as PgFailure from "./connection/PgFailure.ts"

// As text: how many digits of a number are sent is a setting of the role.
const identifyBy = (system: boolean, started: boolean): string =>
  `SELECT ${system ? "system_identifier" : "NULL"}::text AS system,` +
  ` (pg_catalog.pg_get_object_address('database', ARRAY[current_database()::text], '{}')).objid::text AS database,` +
  ` ${started ? "extract(epoch FROM pg_postmaster_start_time())" : "NULL"}::text AS started${system ? " FROM pg_control_system()" : ""}`

/**
 * Which database a session reaches. By functions alone: a new session would first have to learn what a catalog table
 * looks like. Every role may run them by default. Exported so that tests recognise it by identity.
 */
export const identify = identifyBy(true, true)

/** An administrator may take the right to run a function from a role: then that part is not known. */
const withoutRights = [identifyBy(false, true), identifyBy(true, false), identifyBy(false, false)]

const Place = Schema.Struct({
  database: Schema.String,
  /** `null` if the role may not ask. */
  system: Schema.NullOr(Schema.String),
  /** When the server was started; `null` if the role may not ask. */
  started: Schema.NullOr(Schema.String)
})
/** Where a client or a session is. */
type Place = typeof Place.Type
const decodePlaces = Schema.decodeUnknownEffect(Schema.NonEmptyArray(Place))

const isDenied = (error: SqlError) => PgFailure.codeOf(error).code === "42501" && error.reason.operation !== "connect"

const placeOf = (tenant: TenantId, query: Query, server?: Server): Effect.Effect<Place, ConnectorError> =>
  withoutRights
    .reduce((asked, less) => Effect.catchIf(asked, isDenied, () => query(less)), query(identify))
    .pipe(
      Effect.mapError((error) => PgFailure.connectFailure(tenant, error, server)),
      Effect.flatMap((rows) => Effect.mapError(decodePlaces(rows), () => PgFailure.notConnected(tenant))),
      Effect.timeoutOrElse({
        duration: statementTimeout,
        orElse: () => Effect.fail(PgFailure.notConnected(tenant, "ETIMEDOUT", server))
      }),
      Effect.map(([place]) => place)
    )

/** Whether no part says that they are two databases, a restart of the server left aside. */
const mayBeOne = (a: Place, b: Place): boolean =>
  a.database === b.database && (a.system === null || b.system === null || a.system === b.system)

const startedTogether = (a: Place, b: Place): boolean =>
  a.started === null || b.started === null || a.started === b.started

/** Whether they are one database of one running server. */
const isHere = (a: Place, b: Place): boolean => mayBeOne(a, b) && startedTogether(a, b)

/** Whether they are one database, maybe before and after a restart: only the system identifier outlasts one. */
const areOne = (a: Place, b: Place): boolean =>
  mayBeOne(a, b) && (startedTogether(a, b) || (a.system !== null && b.system !== null))

/** What claims a database: the pooled client of a tenant, or a session that listens. */
export type Kind = "client" | "session"

/** A client or a session. */
interface Open {
  readonly kind: Kind
  readonly query: Query
  /** Where it was when it was asked last. */
  place: Place
}

/** The claim of one tenant. */
interface Claim {
  place: Place
  readonly open: Set<Open>
  /** Whether it outlasts what is open: from the first session until the tenant is released. */
  kept: boolean
  /** Whether a client has reached this database. */
  reachedByClient: boolean
  /** Whether a client was refused since the session was opened, because it reached another database. */
  refusedClient: boolean
}

export const make = () => {
  const claims = new Map<TenantId, Claim>()
  /** The tenants that claim a database, by the part of its place that each role knows. */
  const tenants = new Map<string, Set<TenantId>>()

  const index = (tenant: TenantId, { database }: Place): void => {
    tenants.set(database, (tenants.get(database) ?? new Set()).add(tenant))
  }

  const unindex = (tenant: TenantId, { database }: Place): void => {
    const others = tenants.get(database)
    others?.delete(tenant)
    if (others?.size === 0) tenants.delete(database)
  }

  const dropUnused = (tenant: TenantId, claim: Claim): void => {
    if (claim.open.size > 0 || claim.kept || claims.get(tenant) !== claim) return
    claims.delete(tenant)
    unindex(tenant, claim.place)
  }

  /** Asks where it is now. `undefined` if it does not answer. */
  const ask = (tenant: TenantId, one: Open): Effect.Effect<Place | undefined> =>
    placeOf(tenant, one.query).pipe(
      Effect.tap((place) =>
        Effect.sync(() => {
          one.place = place
        })
      ),
      Effect.orElseSucceed(() => undefined)
    )

  /**
   * Whether a tenant that claims the place has left it, or claims another: what it has open answers from elsewhere. A
   * session stays where it is, and is asked only if that was another start of a server. A client may have connected
   * anew: from a place that is not the claimed one its answer says nothing about where the next session will be.
   */
  const hasLeft = Effect.fnUntraced(function* (tenant: TenantId, claim: Claim, place: Place) {
    let elsewhere = !areOne(claim.place, place)
    for (const one of [...claim.open]) {
      if (one.kind === "session" && isHere(one.place, place)) return false
      const now = yield* ask(tenant, one)
      if (now !== undefined && isHere(now, place)) return false
      elsewhere ||= now !== undefined && (one.kind === "session" || !claim.kept || isHere(now, claim.place))
    }
    return elsewhere
  })

  /** The tenants that claim the place, and were not seen to have left it. */
  const holdersOf = (place: Place, but: TenantId, left: ReadonlySet<TenantId> = new Set()) =>
    [...(tenants.get(place.database) ?? [])].flatMap((tenant) => {
      const claim = claims.get(tenant)
      return claim === undefined || tenant === but || left.has(tenant) || !mayBeOne(claim.place, place)
        ? []
        : [{ tenant, claim }]
    })

  /** Whether something of another kind that the tenant has open is elsewhere. It is asked only if it said so before. */
  const differs = Effect.fnUntraced(function* (tenant: TenantId, place: Place, kind: Kind) {
    for (const one of [...(claims.get(tenant)?.open ?? [])]) {
      if (one.kind === kind || isHere(one.place, place)) continue
      const now = yield* ask(tenant, one)
      if (now !== undefined && !isHere(now, place)) return true
    }
    return false
  })

  /** The tenant's claim, which is on this place from now on. */
  const claimOn = (tenant: TenantId, place: Place): Claim => {
    const claim = claims.get(tenant)
    if (claim === undefined) {
      const first: Claim = { place, open: new Set(), kept: false, reachedByClient: false, refusedClient: false }
      claims.set(tenant, first)
      index(tenant, place)
      return first
    }
    unindex(tenant, claim.place)
    index(tenant, place)
    if (areOne(claim.place, place)) {
      const { started, system } = claim.place
      claim.place = { ...place, system: place.system ?? system, started: place.started ?? started }
    } else {
      claim.place = place
      claim.reachedByClient = [...claim.open].some((one) => one.kind === "client" && isHere(one.place, place))
    }
    return claim
  }

  /** What the tenant opened leads to another place than the one that it claims: that claim ends with what is open. */
  const leave = (tenant: TenantId, place: Place): void => {
    const claim = claims.get(tenant)
    if (claim === undefined || areOne(claim.place, place)) return
    claim.kept = false
    dropUnused(tenant, claim)
  }

  /** A client has to show again that it reaches the database. */
  const parted = (tenant: TenantId, kind: Kind): void => {
    const claim = claims.get(tenant)
    if (claim === undefined) return
    claim.reachedByClient = false
    claim.refusedClient ||= kind === "client"
  }

  /** Adds what is open to the tenant's claim. Another tenant may hold the database since it was looked for. */
  const add = (tenant: TenantId, one: Open, left: ReadonlySet<TenantId>) =>
    Effect.acquireRelease(
      Effect.suspend(() => {
        const [other] = holdersOf(one.place, tenant, left)
        if (other !== undefined) {
          leave(tenant, one.place)
          return Effect.fail(ConnectorError.of(tenant, new DatabaseShared({ other: other.tenant })))
        }
        const claim = claimOn(tenant, one.place)
        claim.open.add(one)
        if (one.kind === "client") claim.reachedByClient = true
        else {
          claim.kept = true
          claim.refusedClient = false
        }
        return Effect.succeed(claim)
      }),
      (claim) =>
        Effect.sync(() => {
          claim.open.delete(one)
          dropUnused(tenant, claim)
        })
    )

  return {
    /** The claim ends with what is open on it. */
    release: (tenant: TenantId): void => {
      const claim = claims.get(tenant)
      if (claim === undefined) return
      claim.kept = false
      dropUnused(tenant, claim)
    },
    /** Whether a client of the tenant has reached the database that the tenant claims. */
    reachedByClient: (tenant: TenantId): boolean => claims.get(tenant)?.reachedByClient === true,
    /**
     * Whether a client of the tenant has meanwhile connected to another database than that of its session, or was
     * refused for it: a name server, or a pooler, now leads elsewhere, as after a fail-over.
     */
    areApart: Effect.fnUntraced(function* (tenant: TenantId) {
      const claim = claims.get(tenant)
      const open = [...(claim?.open ?? [])]
      const session = open.find(({ kind }) => kind === "session")
      if (session === undefined) return false
      if (claim?.refusedClient === true) return true
      for (const client of open.filter(({ kind }) => kind === "client")) {
        const now = yield* ask(tenant, client)
        if (now === undefined || isHere(now, session.place)) continue
        parted(tenant, "client")
        return true
      }
      return false
    }),
    /**
     * Claims the database that a query reaches, as long as the scope. Fails with `DatabaseShared` if it is another
     * tenant's, and with `DatabasesDiffer` if the tenant's client and its session lead to two databases.
     */
    claim: Effect.fnUntraced(function* (
      tenant: TenantId,
      query: Query,
      kind: Kind,
      server?: Server
    ): Effect.fn.Return<void, ConnectorError, Scope.Scope> {
      const place = yield* placeOf(tenant, query, server)
      const left = new Set<TenantId>()
      for (const { claim, tenant: other } of holdersOf(place, tenant)) {
        if (yield* hasLeft(other, claim, place)) left.add(other)
      }
      if (holdersOf(place, tenant, left).length === 0 && (yield* differs(tenant, place, kind))) {
        parted(tenant, kind)
        return yield* ConnectorError.of(tenant, new DatabasesDiffer())
      }
      yield* add(tenant, { kind, query, place }, left)
    })
  }
}
