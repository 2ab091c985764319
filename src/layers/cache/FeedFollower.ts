/**
 * Keeps a replica equal to its tenant's database by following the feed.
 *
 * ```
 *   no session ── Connected ──▶ reading ── applied ──▶ quiet ── a notification, or time to verify ──▶ reading
 *       ▲                          │                     │
 *       │                          └─ not answered in time, or failed: the session is abandoned
 *       └────────────── Disconnected, from any state ────┘
 * ```
 *
 * There is one kind of read, on the feed's own session: how one state of the table differs from the snapshot. It
 * answers all notifications that came before it, and confirms every key as of the moment at which the whole table was
 * last compared: this read, unless one shortly before did so. The comparison proves that nothing else changed (a lost
 * notification, a row written with the triggers disabled, `TRUNCATE`). A verification is the same read, made because
 * nothing else prompted one for a while; and if it is not answered in time, the session is dead. The tenant is live
 * from the first read on.
 *
 * A tenant has one fiber, which waits for events. A read has a fiber while it runs (SerialReader). One fiber serves the
 * deadlines of all tenants (TenantTimers).
 */
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Stream from "effect/Stream"
import { ActivationError } from "../../schema/ActivationError.ts"
import type { EntryStoreError } from "../../schema/EntryStoreError.ts"
import * as Freshness from "../../schema/Freshness.ts"
import * as Snapshot from "../../schema/Snapshot.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import { KeyRegistry } from "../../services/KeyRegistry.ts"
import { type Changed, type FeedSession, ListenFeed } from "../../services/ListenFeed.ts"
import * as MonotonicClock from "../runtime/MonotonicClock.ts"
import * as TenantTimers from "../runtime/TenantTimers.ts"
import { longestArrival, nextAnswer, timedOut } from "../runtime/Timeouts.ts"
import * as Redaction from "../telemetry/Redaction.ts"
import { Telemetry } from "../telemetry/Telemetry.ts"
import * as Conclusive from "./Conclusive.ts"
import * as Propagation from "./Propagation.ts"
import type { Replica } from "./Replica.ts"
import type { Replicas } from "./Replicas.ts"
import * as SerialReader from "./SerialReader.ts"

/** A tenant that is followed. Times are in milliseconds, moments by the monotonic clock. */
interface Followed {
  readonly replica: Replica
  readonly reader: SerialReader.SerialReader
  /** Records how long it took until the tenant was loaded, the first time. */
  readonly recordWarmLoad: Effect.Effect<void>
  /** The session of the feed, while there is one. */
  session: FeedSession | undefined
  /**
   * How long an answer is waited for, and the next rows of one that has begun. It outlives the session, since a slow
   * server stays slow.
   */
  patience: number
  /** When everything is to be verified. Finite only while the tenant is quiet. */
  verifyAt: number
  /** When the answer that is waited for was asked for. */
  askedAt: number
  /** By when the answer must be there. Finite only while one is waited for. */
  answerBy: number
  /** Why the follower abandoned the session; `undefined` if it did not. It says more than that the session ended. */
  loadError: EntryStoreError | undefined
}

export interface FeedFollowerOptions {
  /** In milliseconds. */
  readonly maxStaleness: number
}

export const make = Effect.fnUntraced(function* (replicas: Replicas, options: FeedFollowerOptions) {
  const feed = yield* ListenFeed
  const registry = yield* KeyRegistry
  const telemetry = yield* Telemetry
  const timers = yield* TenantTimers.make(Freshness.schedulerResolution(options.maxStaleness))

  const usualPatience = Freshness.answerBudget(options.maxStaleness)
  const verifyDelay = (took: number) =>
    Effect.map(Random.next, (random) => Freshness.verifyDelay(options.maxStaleness, took, random))

  /**
   * Reads everything on the session, and again while a write of this process that is under way leaves it inconclusive.
   */
  const reconcile = Effect.fnUntraced(function* (
    followed: Followed,
    session: FeedSession
  ): Effect.fn.Return<Propagation.Reconciled, EntryStoreError> {
    const { replica } = followed
    followed.verifyAt = never
    const once = Effect.gen(function* () {
      const asked = yield* replicas.begin(replica)
      followed.askedAt = asked.time
      followed.answerBy = asked.time + followed.patience
      const arrived = () => {
        const now = MonotonicClock.millisOf(replicas.clock)
        followed.answerBy = Math.min(now + followed.patience, asked.time + longestArrival)
      }
      const diff = yield* session.diff(replicas.keys, Snapshot.fingerprints(asked), arrived)
      const verifiedAt = Math.min(asked.time, session.verifiedAt?.() ?? asked.time)
      // The session answered. What applying the answer may wait for (the history, of a bad row) says nothing about it.
      followed.answerBy = never
      followed.patience = nextAnswer.afterAnswer(usualPatience, (yield* MonotonicClock.millis) - asked.time)
      const { inconclusive, published } = yield* replicas.applyDiff(replica, diff, asked, verifiedAt)
      const took = (yield* MonotonicClock.millis) - asked.time
      return { inconclusive, diff, published, took, unverified: asked.time - verifiedAt }
    })
    const reconciled = yield* Conclusive.read(replica.tenant, once)
    const delay = yield* verifyDelay(reconciled.took)
    followed.verifyAt = (yield* MonotonicClock.millis) + delay - reconciled.unverified
    return reconciled
  })

  /** Everything was read on the session of the feed: the tenant is live, unless the answer took too long. */
  const setCondition = ({ replica }: Followed) =>
    Effect.flatMap(MonotonicClock.millis, (now) => {
      const overdue = replicas.isOverdue(replica.snapshot, now)
      // An answer in time says nothing new of a tenant that is live already.
      return overdue || replica.state !== "live"
        ? replicas.setCondition(
            replica,
            { connected: true, loaded: true, overdue, failures: 0 },
            { failures: 0, lastError: undefined }
          )
        : Effect.void
    })

  const readFirst = Effect.fnUntraced(function* (followed: Followed, session: FeedSession) {
    const { tenant } = followed.replica
    const { took } = yield* reconcile(followed, session).pipe(
      Redaction.withSpan("Systemplane.reconcile", { tenant, reason: "connect" satisfies SerialReader.Reason })
    )
    yield* session.confirm
    yield* telemetry.reconciled(tenant, "connect")
    yield* followed.recordWarmLoad
    // Last: a caller that waits for the tenant then finds everything reported.
    yield* setCondition(followed)
    return took
  })

  const readLater = Effect.fnUntraced(function* (
    followed: Followed,
    session: FeedSession,
    reason: SerialReader.Reason
  ) {
    const { tenant } = followed.replica
    const reconciled = yield* reconcile(followed, session)
    yield* setCondition(followed)
    // Readers that wait for the values go first; telemetry follows.
    yield* Effect.yieldNow
    if (reason === "notification") yield* telemetry.propagated(tenant, Propagation.secondsOf(reconciled))
    else if (reconciled.diff.length > 0) yield* telemetry.reconciled(tenant, "verify")
    return reconciled.took
  })

  const abandon = (followed: Followed, session: FeedSession, error: EntryStoreError) => {
    followed.loadError = error
    return session.abandon
  }

  /**
   * How everything is read on a session. A read that fails abandons it: a session without a reader would stay open and
   * unread.
   */
  const readOn =
    (followed: Followed, session: FeedSession): SerialReader.Read =>
    (reason) =>
      (reason === "connect" ? readFirst(followed, session) : readLater(followed, session, reason)).pipe(
        Effect.catch((error) => Effect.as(abandon(followed, session, error), undefined)),
        Redaction.recover((defect) =>
          // What fails at every attempt is an error in the log once.
          Redaction.log(
            followed.replica.condition.failures === 0 ? "Error" : "Debug",
            "Reading a feed failed unexpectedly",
            { defect, tenant: followed.replica.tenant }
          ).pipe(Effect.andThen(session.abandon), Effect.as(undefined))
        )
      )

  /** The answer is not there in time: the session is dead. */
  const giveUp = (followed: Followed, waited: number) => {
    const { reader, replica, session } = followed
    if (session !== undefined) reader.abandon(abandon(followed, session, timedOut(replica.tenant, waited)))
  }

  const concernsUs = ({ notifications }: Changed) =>
    notifications.some(({ key, namespace }) => {
      const declared = registry.find(namespace, key)
      return declared !== undefined && replicas.slotOf(declared) !== undefined
    })

  // While nothing confirms the snapshot, time alone makes it too old to be trusted. Reads look at the clock themselves;
  // this is for those who watch the tenant's state.
  const overdueAt = ({ condition, snapshot }: Replica) =>
    condition.loaded && !condition.overdue ? Freshness.staleAt(snapshot.confirmedAt, options.maxStaleness) : never

  const deadlinesOf = (followed: Followed): TenantTimers.Deadline => ({
    dueAt: () => Math.min(followed.verifyAt, followed.answerBy, overdueAt(followed.replica)),
    perform: Effect.flatMap(MonotonicClock.millis, (now) => {
      if (followed.verifyAt <= now) {
        // A read that waits for its pace waits no longer and verifies, and then says when the next one is due.
        followed.verifyAt = never
        followed.reader.ask("verify")
      }
      if (followed.answerBy <= now) {
        const waited = followed.answerBy - followed.askedAt
        followed.answerBy = never
        followed.patience = nextAnswer.afterSilence(followed.patience)
        giveUp(followed, waited)
      }
      return overdueAt(followed.replica) <= now
        ? replicas.setCondition(followed.replica, { overdue: true })
        : Effect.void
    }).pipe(
      Redaction.recover((defect) =>
        Redaction.log("Error", "The deadlines of a tenant failed unexpectedly", {
          defect,
          tenant: followed.replica.tenant
        })
      )
    )
  })

  const disconnected = (followed: Followed) => {
    followed.session = undefined
    followed.verifyAt = never
    followed.answerBy = never
    return followed.reader.disconnected
  }

  const follow = Effect.fnUntraced(function* (replica: Replica) {
    // Added first, hence run last: by then nothing is left that could call the replica connected again.
    yield* Effect.addFinalizer(() => replicas.setCondition(replica, { connected: false, failures: 0 }))
    const startedAt = yield* MonotonicClock.millis
    const followed: Followed = {
      replica,
      reader: yield* SerialReader.make,
      recordWarmLoad: yield* Effect.cached(
        Effect.flatMap(MonotonicClock.millis, (now) => telemetry.warmLoaded(replica.tenant, (now - startedAt) / 1000))
      ),
      session: undefined,
      patience: usualPatience,
      verifyAt: never,
      askedAt: never,
      answerBy: never,
      loadError: undefined
    }
    yield* replicas.resume(replica)
    yield* telemetry.dropped(replica.tenant, replicas.dropped)
    yield* timers.add(deadlinesOf(followed))
    replica.readAgain = () => followed.reader.ask("notification")

    yield* Stream.runForEach(feed.events(replica.tenant), (event) => {
      switch (event._tag) {
        case "Connected":
          followed.session = event.session
          followed.reader.connected(readOn(followed, event.session))
          return Effect.void
        case "Changed":
          if (concernsUs(event)) followed.reader.ask("notification")
          return Effect.void
        case "Disconnected":
          return Effect.andThen(
            Effect.suspend(() => disconnected(followed)),
            Effect.suspend(() => {
              const lastError = ActivationError.from(followed.loadError ?? event.error)
              followed.loadError = undefined
              const { failures } = event
              return replicas.setCondition(replica, { connected: false, failures }, { failures, lastError })
            })
          )
      }
    })
    return yield* Effect.never
  })

  /** Follows the tenant's feed until interrupted. */
  return (tenant: TenantId): Effect.Effect<never> => Effect.scoped(Effect.suspend(() => follow(replicas.open(tenant))))
})

const never = Number.POSITIVE_INFINITY
