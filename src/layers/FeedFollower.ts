/**
 * Keeps a scope equal to its tenant's database by following the feed.
 *
 * ```
 *   Connected ──▶ read everything that differs ──▶ live ──▶ wait for a notification, or for the time to verify ──┐
 *                              ▲                                                                                 │
 *                              └─────────────────────────────────────────────────────────────────────────────────┘
 * ```
 *
 * There is one kind of read: one statement on the feed's own session that returns how the table differs from the snapshot.
 * It answers all notifications that came before it, proves that nothing else changed (a lost notification, a row written
 * with the triggers disabled, `TRUNCATE`), and confirms every key. So a verification is the same read, made because nothing
 * else prompted one for a while; and where it is not answered in time, the session is dead.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FiberHandle from "effect/FiberHandle"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Stream from "effect/Stream"
import { ActivationError, ConnectFailure, LoadFailure, SameDatabase } from "../schema/ActivationError.ts"
import type { ConnectorError } from "../schema/ConnectorError.ts"
import { EntryStoreError, Unanswered } from "../schema/EntryStoreError.ts"
import * as Snapshot from "../schema/Snapshot.ts"
import type { TenantId } from "../schema/TenantId.ts"
import { KeyRegistry } from "../services/KeyRegistry.ts"
import { type Changed, type FeedSession, ListenFeed } from "../services/ListenFeed.ts"
import type { Scopes } from "./Scopes.ts"
import { Telemetry } from "./Telemetry.ts"
import type { TenantScope } from "./TenantScope.ts"

export interface FeedFollowerOptions {
  /** In milliseconds. */
  readonly maxStaleness: number
}

/** A session that does not answer a short statement for this long is dead, however large `maxStaleness` is. */
const longestAnswer = 5_000

export const make = Effect.fnUntraced(function* (scopes: Scopes, options: FeedFollowerOptions) {
  const feed = yield* ListenFeed
  const registry = yield* KeyRegistry
  const telemetry = yield* Telemetry

  // A silent feed is verified after a quarter to a third of the bound, and has a third of it to answer: a dead session is
  // noticed within two thirds, which leaves a third for reconnecting before the values count as overdue.
  const answerTimeout = Math.min(options.maxStaleness / 3, longestAnswer)
  const verifyDelay = Effect.map(Random.nextBetween(1 / 4, 1 / 3), (share) => options.maxStaleness * share)

  const reconcile = (scope: TenantScope, session: FeedSession) =>
    Effect.gen(function* () {
      const since = Snapshot.begin(scope.snapshot, yield* Clock.currentTimeMillis)
      const differences = yield* session.differences(scopes.keys, Snapshot.fingerprints(scope.snapshot)).pipe(
        Effect.timeoutOrElse({
          duration: answerTimeout,
          orElse: () =>
            Effect.fail(new EntryStoreError({ tenant: scope.tenant, reason: new Unanswered({ code: "ETIMEDOUT" }) }))
        })
      )
      const outcome = yield* scopes.absorb(scope, (state) => Snapshot.learn(state, differences, since), "read")
      if (outcome.again) scope.dirty.openUnsafe()
      yield* scopes.relink(
        scope,
        { connected: true, loaded: true, overdue: false, failures: 0 },
        { failures: 0, lastError: undefined }
      )
      return differences.length > 0
    })

  const keepCurrent = (scope: TenantScope, session: FeedSession, onFirstLoad: Effect.Effect<void>) =>
    Effect.gen(function* () {
      scope.dirty.closeUnsafe()
      yield* Effect.withSpan(reconcile(scope, session), "Systemplane.reconcile", {
        attributes: { tenant: scope.tenant, reason: "connect" }
      })
      yield* session.confirm
      yield* telemetry.reconciled(scope.tenant, "connect")
      yield* onFirstLoad
      while (true) {
        const notified = yield* Effect.timeoutOption(scope.dirty.await, yield* verifyDelay)
        // Closed before the read, so that what arrives during it is read again.
        scope.dirty.closeUnsafe()
        const differed = yield* reconcile(scope, session)
        if (differed && Option.isNone(notified)) yield* telemetry.reconciled(scope.tenant, "verify")
      }
    })

  const concernsUs = ({ notifications }: Changed) =>
    notifications.some(({ key, namespace }) => {
      const declared = registry.find(namespace, key)
      return declared !== undefined && scopes.slotOf(declared) !== undefined
    })

  // While nothing confirms the snapshot, time alone makes it too old to be trusted.
  const watchOverdue = (scope: TenantScope) =>
    Effect.gen(function* () {
      while (true) {
        const now = yield* Clock.currentTimeMillis
        const due = scope.snapshot.confirmedAt + options.maxStaleness
        if (scope.link.loaded && due <= now && !scope.link.overdue) yield* scopes.relink(scope, { overdue: true })
        yield* Effect.sleep(due > now ? due - now : options.maxStaleness)
      }
    })

  const run = (scope: TenantScope) =>
    Effect.gen(function* () {
      // Added first, hence run last: by then nothing is left that could call the scope connected again.
      yield* Effect.addFinalizer(() => scopes.relink(scope, { connected: false, failures: 0 }))
      const reader = yield* FiberHandle.make<void, never>()
      // After a suspension the snapshot is as old as that: it answers again only once it was reconciled.
      yield* scopes.relink(scope, { suspended: false, loaded: scope.link.loaded && !scope.link.suspended })
      yield* Effect.forkScoped(watchOverdue(scope))
      yield* telemetry.dropped(scope.tenant, scopes.dropped)
      const onFirstLoad = yield* Effect.cached(recordWarmLoad(scope, yield* Clock.currentTimeMillis))

      let loadError: EntryStoreError | undefined
      const read = (session: FeedSession) =>
        Effect.catch(keepCurrent(scope, session, onFirstLoad), (error) => {
          loadError = error
          return session.abandon
        }).pipe(
          // A session without a reader would stay open and unread.
          Effect.catchDefect((defect) =>
            Effect.andThen(
              Effect.logError("Reading a feed failed unexpectedly", defect).pipe(
                Effect.annotateLogs({ tenant: scope.tenant })
              ),
              session.abandon
            )
          )
        )

      yield* Stream.runForEach(feed.events(scope.tenant), (event) => {
        switch (event._tag) {
          case "Connected":
            loadError = undefined
            return FiberHandle.run(reader, read(event.session))
          case "Changed":
            if (concernsUs(event)) scope.dirty.openUnsafe()
            return Effect.void
          case "Disconnected":
            return Effect.andThen(
              FiberHandle.clear(reader),
              scopes.relink(
                scope,
                { connected: false, failures: event.failures },
                { failures: event.failures, lastError: activationError(loadError ?? event.error) }
              )
            )
        }
      })
      return yield* Effect.never
    })

  const recordWarmLoad = (scope: TenantScope, startedAt: number) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => telemetry.warmLoaded(scope.tenant, (now - startedAt) / 1000))

  /** Follows the tenant's feed until interrupted. */
  return (tenant: TenantId): Effect.Effect<never> => Effect.scoped(Effect.suspend(() => run(scopes.open(tenant))))
})

const activationError = (cause: EntryStoreError | ConnectorError): ActivationError => {
  if (cause._tag === "EntryStoreError") return new ActivationError({ reason: new LoadFailure({ cause }) })
  const { reason, tenant } = cause
  return new ActivationError({
    reason:
      reason._tag === "DatabaseShared"
        ? new SameDatabase({ tenant, other: reason.other })
        : new ConnectFailure({ cause })
  })
}
