/**
 * Keeps a replica equal to its tenant's database by following the feed.
 *
 * ```
 *   Connected ──────┐
 *   a notification ─┼──▶ read everything that differs, one read at a time ──▶ live
 *   time to verify ─┘                  │ not there in time: the session is given up
 * ```
 *
 * There is one kind of read, on the feed's own session: how one state of the table differs from the snapshot. It answers all
 * notifications that came before it, proves that nothing else changed (a lost notification, a row written with the triggers
 * disabled, `TRUNCATE`), and confirms every key. So a verification is the same read, made because nothing else prompted one
 * for a while; and where it is not answered in time, the session is dead.
 *
 * A tenant has one fiber, which waits for events; a read has one as long as it takes, and what goes by the clock is looked
 * after for all tenants by one.
 */
import * as Effect from "effect/Effect"
import * as FiberHandle from "effect/FiberHandle"
import * as Random from "effect/Random"
import * as Stream from "effect/Stream"
import { ActivationError } from "../../schema/ActivationError.ts"
import * as AdaptiveTimeout from "../../schema/AdaptiveTimeout.ts"
import type { EntryStoreError } from "../../schema/EntryStoreError.ts"
import * as Freshness from "../../schema/Freshness.ts"
import * as ReadPace from "../../schema/ReadPace.ts"
import type * as Snapshot from "../../schema/Snapshot.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import type { ReadDiff } from "../../services/EntryStore.ts"
import { KeyRegistry } from "../../services/KeyRegistry.ts"
import { type Changed, type FeedSession, ListenFeed } from "../../services/ListenFeed.ts"
import * as MonotonicClock from "../runtime/MonotonicClock.ts"
import * as TenantTimers from "../runtime/TenantTimers.ts"
import { longestDiff, timedOut } from "../runtime/Timeouts.ts"
import * as Redaction from "../telemetry/Redaction.ts"
import { Telemetry } from "../telemetry/Telemetry.ts"
import type { Replica } from "./Replica.ts"
import type { Replicas } from "./Replicas.ts"

/** Why everything is read: the feed connected, something was notified, or nothing was for a while. */
type Reason = "connect" | "notification" | "verify"

/** A tenant that is followed. Times are in milliseconds, moments by the monotonic clock. */
interface Followed {
  readonly replica: Replica
  /** How long an answer is waited for: from session to session, since a slow server stays slow. */
  patience: number
  /** How soon a notification may have it read again: from session to session. */
  pace: ReadPace.ReadPace
  /** When everything is to be verified: never without a session, nor while it is being read. */
  verifyAt: number
  /** By when what is being read must be there. */
  answerBy: number
  /** Who reads on the session; `undefined` where there is none. */
  reader: Reader | undefined
}

interface Reader {
  /** Has everything read, once what is being read is there. */
  readonly read: (reason: Reason) => void
  /** Gives the session up, since what is being read is not there in time. */
  readonly giveUp: () => void
}

export interface FeedFollowerOptions {
  /** In milliseconds. */
  readonly maxStaleness: number
}

/** What came of reading everything. */
interface Reconciled {
  readonly diff: ReadonlyArray<Snapshot.RowDiff>
  readonly published: ReadonlyArray<Snapshot.Published>
  /** From sending the read to publishing it, in milliseconds. */
  readonly took: number
}

export const make = Effect.fnUntraced(function* (replicas: Replicas, options: FeedFollowerOptions) {
  const feed = yield* ListenFeed
  const registry = yield* KeyRegistry
  const telemetry = yield* Telemetry
  const upkeep = yield* TenantTimers.make(Freshness.schedulerResolution(options.maxStaleness))

  const patience: AdaptiveTimeout.AdaptiveTimeout = {
    usual: Freshness.answerBudget(options.maxStaleness),
    longest: longestDiff
  }
  const verifyDelay = (took: number) =>
    Effect.map(Random.next, (random) => Freshness.verifyDelay(options.maxStaleness, took, random))

  /** The session's answers, and by when they must be there. */
  const inTime =
    (followed: Followed, session: FeedSession): ReadDiff =>
    (keys, known) => {
      followed.answerBy = MonotonicClock.millisOf(replicas.clock) + followed.patience
      return session.diff(keys, known)
    }

  const reconcile = Effect.fnUntraced(function* (
    followed: Followed,
    session: FeedSession
  ): Effect.fn.Return<Reconciled, EntryStoreError> {
    followed.verifyAt = never
    let reconciled: Effect.Success<ReturnType<Replicas["reconcile"]>>
    do {
      reconciled = yield* replicas.reconcile(followed.replica, inTime(followed, session))
      followed.patience = AdaptiveTimeout.afterAnswer(patience, reconciled.took)
    } while (reconciled.inconclusive)
    followed.answerBy = never
    followed.pace = ReadPace.afterRead(followed.pace, reconciled.took, yield* MonotonicClock.millis)
    followed.verifyAt = (yield* MonotonicClock.millis) + (yield* verifyDelay(reconciled.took))
    return reconciled
  })

  /** Waits until the tenant may be read again because of a notification. */
  const paced = (followed: Followed) =>
    Effect.flatMap(MonotonicClock.millis, (now) => {
      const delay = ReadPace.delay(followed.pace, now)
      return delay > 0 ? Effect.sleep(delay) : Effect.void
    })

  /** Everything was read on the session of the feed: the tenant is live, unless the answer took too long. */
  const setCondition = ({ replica }: Followed) =>
    Effect.flatMap(MonotonicClock.millis, (now) => {
      const overdue = replicas.isOverdue(replica.snapshot, now)
      // Of a tenant that is live already, an answer in time tells nothing new.
      return overdue || replica.state !== "live"
        ? replicas.setCondition(
            replica,
            { connected: true, loaded: true, overdue, failures: 0 },
            { failures: 0, lastError: undefined }
          )
        : Effect.void
    })

  /**
   * How long changes took to become visible: their age when they were read, by the database's clock alone, and then at most as
   * long as the whole read took by ours. A deleted row has no age.
   */
  const measurePropagation = (tenant: TenantId, { diff, published, took }: Reconciled) => {
    const seconds: Array<number> = []
    // Both are in the same order, and not all that differed was published.
    let next = 0
    for (const { age, slot } of diff) {
      if (published[next]?.slot !== slot) continue
      next++
      if (age !== undefined) seconds.push(Math.max(0, age) + took / 1000)
    }
    return telemetry.propagated(tenant, seconds)
  }

  const readFirst = Effect.fnUntraced(function* (
    followed: Followed,
    session: FeedSession,
    onFirstLoad: Effect.Effect<void>
  ) {
    const { tenant } = followed.replica
    yield* reconcile(followed, session).pipe(
      Redaction.withSpan("Systemplane.reconcile", { tenant, reason: "connect" satisfies Reason })
    )
    yield* session.confirm
    yield* telemetry.reconciled(tenant, "connect")
    yield* onFirstLoad
    // Last: a caller that waits for the tenant then finds everything reported.
    yield* setCondition(followed)
  })

  const readLater = Effect.fnUntraced(function* (followed: Followed, session: FeedSession, reason: Reason) {
    const reconciled = yield* reconcile(followed, session)
    yield* setCondition(followed)
    // Readers that wait for the values go first; telemetry follows.
    yield* Effect.yieldNow
    if (reason === "notification") yield* measurePropagation(followed.replica.tenant, reconciled)
    else if (reconciled.diff.length > 0) yield* telemetry.reconciled(followed.replica.tenant, "verify")
  })

  const concernsUs = ({ notifications }: Changed) =>
    notifications.some(({ key, namespace }) => {
      const declared = registry.find(namespace, key)
      return declared !== undefined && replicas.slotOf(declared) !== undefined
    })

  // While nothing confirms the snapshot, time alone makes it too old to be trusted. Reads look at the clock themselves; this
  // is for those who watch the tenant's state.
  const overdueAt = ({ condition, snapshot }: Replica) =>
    condition.loaded && !condition.overdue ? snapshot.confirmedAt + options.maxStaleness : never

  const lookAfter = (followed: Followed): TenantTimers.Deadline => ({
    dueAt: () => Math.min(followed.verifyAt, followed.answerBy, overdueAt(followed.replica)),
    perform: Effect.flatMap(MonotonicClock.millis, (now) => {
      if (followed.verifyAt <= now) followed.reader?.read("verify")
      if (followed.answerBy <= now) {
        followed.answerBy = never
        followed.patience = AdaptiveTimeout.afterSilence(patience, followed.patience)
        followed.reader?.giveUp()
      }
      return overdueAt(followed.replica) <= now
        ? replicas.setCondition(followed.replica, { overdue: true })
        : Effect.void
    }).pipe(
      Redaction.recover((defect) =>
        Redaction.log("Error", "Looking after a tenant failed unexpectedly", {
          defect,
          tenant: followed.replica.tenant
        })
      )
    )
  })

  const run = Effect.fnUntraced(function* (replica: Replica) {
    // Added first, hence run last: by then nothing is left that could call the replica connected again.
    yield* Effect.addFinalizer(() => replicas.setCondition(replica, { connected: false, failures: 0 }))
    const reading = yield* FiberHandle.make<void, never>()
    const fork = yield* FiberHandle.runtime(reading)<never>()
    const followed: Followed = {
      replica,
      patience: patience.usual,
      pace: ReadPace.initial(yield* MonotonicClock.millis),
      verifyAt: never,
      answerBy: never,
      reader: undefined
    }
    yield* replicas.resume(replica)
    yield* telemetry.dropped(replica.tenant, replicas.dropped)
    yield* upkeep.add(lookAfter(followed))
    const onFirstLoad = yield* Effect.cached(recordWarmLoad(replica, yield* MonotonicClock.millis))

    /** Why the session was given up, which says more than that it was. */
    let loadError: EntryStoreError | undefined
    const abandon = (session: FeedSession, error: EntryStoreError) => {
      loadError = error
      return session.abandon
    }
    const readerOf = (session: FeedSession): Reader => {
      const read = (reason: Reason) =>
        reason === "connect" ? readFirst(followed, session, onFirstLoad) : readLater(followed, session, reason)
      const orAbandon = (reads: Effect.Effect<void, EntryStoreError>) =>
        Effect.catch(reads, (error) => abandon(session, error)).pipe(
          // A session without a reader would stay open and unread.
          Redaction.recover((defect) =>
            Effect.andThen(
              // What fails at every attempt is told once.
              Redaction.log(
                replica.condition.failures === 0 ? "Error" : "Debug",
                "Reading a feed failed unexpectedly",
                {
                  defect,
                  tenant: replica.tenant
                }
              ),
              session.abandon
            )
          )
        )
      return {
        read: oneAtATime((reads) => fork(orAbandon(reads)), read, paced(followed)),
        // In the place of what is being read, which is interrupted.
        giveUp: () => fork(abandon(session, timedOut(replica.tenant)))
      }
    }
    const disconnected = () => {
      followed.reader = undefined
      followed.verifyAt = never
      followed.answerBy = never
    }
    replica.readAgain = () => followed.reader?.read("notification")
    yield* Effect.addFinalizer(() => Effect.sync(disconnected))

    yield* Stream.runForEach(feed.events(replica.tenant), (event) => {
      switch (event._tag) {
        case "Connected":
          followed.reader = readerOf(event.session)
          followed.reader.read("connect")
          return Effect.void
        case "Changed":
          if (concernsUs(event)) followed.reader?.read("notification")
          return Effect.void
        case "Disconnected":
          disconnected()
          return Effect.andThen(
            FiberHandle.clear(reading),
            Effect.suspend(() => {
              const lastError = ActivationError.from(loadError ?? event.error)
              loadError = undefined
              const { failures } = event
              return replicas.setCondition(replica, { connected: false, failures }, { failures, lastError })
            })
          )
      }
    })
    return yield* Effect.never
  })

  const recordWarmLoad = (replica: Replica, startedAt: number) =>
    Effect.flatMap(MonotonicClock.millis, (now) => telemetry.warmLoaded(replica.tenant, (now - startedAt) / 1000))

  /** Follows the tenant's feed until interrupted. */
  return (tenant: TenantId): Effect.Effect<never> => Effect.scoped(Effect.suspend(() => run(replicas.open(tenant))))
})

const never = Number.POSITIVE_INFINITY

/** Reads when asked to, one read at a time. What is notified during one is read after it; a verification it makes needless. */
const oneAtATime = (
  run: (reads: Effect.Effect<void, EntryStoreError>) => void,
  read: (reason: Reason) => Effect.Effect<void, EntryStoreError>,
  paced: Effect.Effect<void>
) => {
  let reading = false
  let notified = false
  const reads = Effect.fnUntraced(function* (first: Reason) {
    for (let reason = first; ; reason = "notification") {
      if (reason === "notification") yield* paced
      // Before the read, so that what arrives during it is read again.
      notified = false
      yield* read(reason)
      if (notified) continue
      reading = false
      return
    }
  })
  return (reason: Reason): void => {
    if (reading) {
      notified ||= reason === "notification"
      return
    }
    reading = true
    run(reads(reason))
  }
}
