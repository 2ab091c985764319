/**
 * What is known of every tenant's state: one place to set it, read it and wait for it. One log line tells of each
 * change of state, and of each change of what keeps a tenant from being live; if many tenants change at once, one line
 * counts the others.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import { memoize } from "effect/Function"
import * as Layer from "effect/Layer"
import * as PubSub from "effect/PubSub"
import * as Stream from "effect/Stream"
import * as JsonText from "../../schema/JsonText.ts"
import type * as Snapshot from "../../schema/Snapshot.ts"
import * as SnapshotSlot from "../../schema/SnapshotSlot.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import type { TenantStatus } from "../../schema/TenantStatus.ts"
import * as MonotonicClock from "../runtime/MonotonicClock.ts"
import * as CountedLines from "./CountedLines.ts"
import { Telemetry } from "./Telemetry.ts"

/** When the whole snapshot was confirmed, by the monotonic clock, and which rows are rejected. */
type Known = Pick<Snapshot.State, "confirmedAt" | "slots">

export class StatusBoard extends Context.Service<
  StatusBoard,
  {
    readonly get: (tenant: TenantId) => TenantStatus | undefined
    readonly all: () => ReadonlyArray<TenantStatus>
    readonly update: (
      tenant: TenantId,
      change: Partial<Omit<TenantStatus, "tenant" | "since" | "confirmedAt" | "rejected">>
    ) => Effect.Effect<void>
    /** What is now known of the tenant's rows: shown from now on, and not announced. */
    readonly learned: (tenant: TenantId, known: Known) => void
    /** The plane is closing: from now on changes of state are logged at debug level, since one line counts them all. */
    readonly closing: () => void
    /** The tenant may not exist: until it is live it has no series, and its changes are logged at debug level. */
    readonly doubtful: (tenant: TenantId) => void
    /** The application named the tenant. */
    readonly certain: (tenant: TenantId) => void
    /** Announces the tenant as removed and forgets it. */
    readonly remove: (tenant: TenantId) => Effect.Effect<void>
    /**
     * Waits until `look` finds what it looks for in the tenant's status: in the status as it is now, and then in each
     * update. Looking and registering is one step, so that no update falls between them; a caller that is interrupted
     * leaves nothing.
     */
    readonly until: <A, E>(
      tenant: TenantId,
      look: (status: TenantStatus | undefined) => Exit.Exit<A, E> | undefined
    ) => Effect.Effect<A, E>
    /** Changes of state, not of details. */
    readonly changes: Stream.Stream<TenantStatus>
  }
>()("effect-systemplane/layers/StatusBoard") {}

const make = Effect.gen(function* () {
  const telemetry = yield* Telemetry
  const clock = yield* Clock.Clock
  const statuses = new Map<TenantId, TenantStatus>()
  const known = new Map<TenantId, Known>()
  /** Those that wait for something of a tenant. Each looks at an update, and says whether it found it. */
  const waiting = new Map<TenantId, Set<(status: TenantStatus) => boolean>>()
  /**
   * What was logged as keeping a tenant from being live: attempts whose causes take turns are not logged one by one.
   */
  const told = new Map<TenantId, Set<string>>()
  /** Whether the plane is closing: a thousand tenants that are suspended by that are one event. */
  let isClosing = false
  /** Tenants that may not exist. */
  const doubtful = new Set<TenantId>()
  const lines = yield* CountedLines.make(mostLines, (counts) =>
    Effect.annotateLogs(
      (Object.keys(counts).some(isBad) ? Effect.logWarning : Effect.logInfo)(
        "More tenants changed than are logged one by one; TenantManager.statuses has each"
      ),
      { counts }
    )
  )
  const changes = yield* Effect.acquireRelease(PubSub.sliding<TenantStatus>(1024), PubSub.shutdown)

  const current = (status: TenantStatus): TenantStatus => {
    const latest = known.get(status.tenant)
    if (latest === undefined) return status
    const confirmedAt =
      latest.confirmedAt === SnapshotSlot.never ? undefined : MonotonicClock.timeOfDay(clock, latest.confirmedAt)
    return Object.freeze({ ...status, confirmedAt, rejected: rejectedOf(latest.slots) })
  }

  const announce = (status: TenantStatus, before: TenantStatus | undefined) =>
    // Reported before those that wait are woken: what they do about it may be reported too.
    Effect.ensuring(
      tell(status, before),
      Effect.sync(() => wake(status))
    )

  const wake = (status: TenantStatus) => {
    const waiters = waiting.get(status.tenant)
    if (waiters === undefined) return
    for (const look of waiters) if (look(status)) waiters.delete(look)
    if (waiters.size === 0 && waiting.get(status.tenant) === waiters) waiting.delete(status.tenant)
  }

  const tell = (status: TenantStatus, before: TenantStatus | undefined) => {
    const isNews = isNewCause(status)
    if (status.state !== before?.state)
      return Effect.andThen(
        PubSub.publish(changes, status),
        log(`Tenant is ${status.state}`, isWrong(status), status, isClosing)
      )
    if (!isNews || before === undefined) return Effect.void
    // While a tenant does not become live its state does not change: each thing that keeps it is told once.
    const isFirst = status.state === "activating" && before.lastError === undefined
    return log(isFirst ? firstFailure : `Tenant is ${status.state}, now for another cause`, true, status)
  }

  const log = (line: string, isWrong: boolean, status: TenantStatus, quietly = false) =>
    quietly || doubtful.has(status.tenant)
      ? annotated(status, Effect.logDebug(line))
      : lines.log(line, annotated(status, (isWrong ? Effect.logWarning : Effect.logInfo)(line)))

  const isNewCause = ({ lastError, state, tenant }: TenantStatus): boolean => {
    if (state === "live" || state === "removed") told.delete(tenant)
    // A tenant that is removed keeps its last error for this announcement, and nothing of it may stay behind.
    if (lastError === undefined || state === "removed") return false
    const causes = told.get(tenant) ?? new Set()
    told.set(tenant, causes)
    const { size } = causes
    const isNew = causes.add(lastError.message).size > size
    // A cause that names another address each time would be remembered for ever.
    if (causes.size > mostCauses) causes.delete(causes.values().next().value!)
    return isNew
  }

  const certain = (tenant: TenantId): void => {
    if (!doubtful.delete(tenant)) return
    telemetry.certain(tenant)
    const status = statuses.get(tenant)
    if (status !== undefined) telemetry.held(tenant, status.state)
  }

  return StatusBoard.of({
    get: (tenant) => {
      const status = statuses.get(tenant)
      return status === undefined ? undefined : current(status)
    },
    all: () => [...statuses.values()].map(current),
    learned: (tenant, latest) => {
      known.set(tenant, latest)
    },
    update: (tenant, change) =>
      Effect.flatMap(DateTime.now, (now) => {
        const before = statuses.get(tenant)
        if (change.state === "live") certain(tenant)
        const changed = { ...(before ?? fresh(tenant, now)), ...change }
        const since = changed.state === before?.state ? before.since : now
        // All who look at it share it.
        const status = JsonText.frozenCopy({ ...changed, since })
        statuses.set(tenant, status)
        telemetry.held(tenant, status.state)
        return announce(current(status), before)
      }),
    doubtful: (tenant) => {
      if (statuses.has(tenant)) return
      doubtful.add(tenant)
      telemetry.doubtful(tenant)
    },
    certain,
    closing: () => {
      isClosing = true
    },
    remove: (tenant) =>
      Effect.flatMap(DateTime.now, (now) => {
        const before = statuses.get(tenant)
        const removed = before && current({ ...before, state: "removed", since: now })
        statuses.delete(tenant)
        known.delete(tenant)
        telemetry.released(tenant)
        const announced = removed === undefined ? Effect.void : announce(removed, before)
        return Effect.ensuring(
          announced,
          Effect.sync(() => void doubtful.delete(tenant))
        )
      }),
    until: <A, E>(tenant: TenantId, look: (status: TenantStatus | undefined) => Exit.Exit<A, E> | undefined) =>
      Effect.callback<A, E>((resume) => {
        const status = statuses.get(tenant)
        const found = look(status === undefined ? undefined : current(status))
        if (found !== undefined) return resume(found)
        const waiter = (status: TenantStatus) => {
          const found = look(status)
          if (found !== undefined) resume(found)
          return found !== undefined
        }
        const waiters = waiting.get(tenant) ?? new Set()
        waiting.set(tenant, waiters.add(waiter))
        return Effect.sync(() => {
          waiters.delete(waiter)
          if (waiters.size === 0 && waiting.get(tenant) === waiters) waiting.delete(tenant)
        })
      }),
    changes: Stream.fromPubSub(changes)
  })
})

export const layer = Layer.effect(StatusBoard, make)

const fresh = (tenant: TenantId, now: DateTime.Utc): TenantStatus => ({
  tenant,
  state: "activating",
  since: now,
  failures: 0,
  lastError: undefined,
  confirmedAt: undefined,
  epoch: 0,
  rejected: 0,
  undeclared: 0,
  warnings: []
})

/** Counted when a status is asked for, once for slots that stay as they are. */
const rejectedOf = memoize((slots: Known["slots"]): number =>
  slots.reduce((count, { rejection }) => (rejection === undefined ? count : count + 1), 0)
)

/** How many lines that say the same of different tenants are logged one by one in ten seconds. */
const mostLines = 20

/** Causes that are remembered of a tenant; one that is forgotten is logged once more. */
const mostCauses = 100

const firstFailure = "Tenant is activating, and the first attempt failed; it is tried again"

const isBad = (line: string): boolean => !/^Tenant is (activating|live|suspended|removed)$/.test(line)

// A tenant that is being suspended or rotated is disconnected too, and nothing is wrong with it.
const isWrong = ({ lastError, state }: TenantStatus): boolean =>
  state === "stale" || (state === "disconnected" && lastError !== undefined)

const annotated = (status: TenantStatus, line: Effect.Effect<void>) =>
  Effect.annotateLogs(line, {
    tenant: status.tenant,
    state: status.state,
    // The attempts that failed since the tenant was last live.
    attempt: status.failures,
    ...(status.lastError === undefined ? {} : { cause: status.lastError.message })
  })
