/**
 * One subscriber's view of one key: what it was last told of each tenant, and what waits to be told.
 *
 * A subscriber starts from the default of the code, for every tenant. It is told of a tenant when the value in force
 * differs from what it was last told: when the tenant is loaded, also after a removal or a suspension, and when the
 * subscription begins. While a tenant is loaded it is told of each new revision too, even if the value is the same.
 * What it was told is kept when a tenant is removed, for otherwise its return could not be compared with anything.
 */
import type * as DateTime from "effect/DateTime"
import type * as Effect from "effect/Effect"
import type { ConfigKey } from "../../schema/ConfigKey.ts"
import type { Change } from "../../schema/Entry.ts"
import * as ReaderOwned from "../../schema/ReaderOwned.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import * as Fanout from "./Fanout.ts"

/** What is in force for a tenant, and whether it was found when the tenant was loaded. */
export interface InForce {
  readonly value: unknown
  readonly revision: number
  readonly updatedAt: DateTime.Utc | undefined
  readonly updatedBy: string | undefined
  readonly loaded: boolean
}

interface Told {
  readonly value: unknown
  readonly revision: number
}

/** A mailbox of changes, to be offered what is in force. */
export interface Subscription {
  readonly offer: (tenant: TenantId, inForce: InForce) => void
  /** Waits for a change, and takes the newest of each tenant. */
  readonly take: Effect.Effect<ReadonlyArray<Change<any>>>
}

export const make = (subscribed: ConfigKey.Any): Subscription => {
  const { key, namespace } = subscribed
  const mailbox = Fanout.makeMailbox<TenantId, Change<any>>((waiting, newer) => ({
    ...newer,
    previous: waiting.previous
  }))
  const nothing: Told = { value: ReaderOwned.defaultOf(subscribed), revision: 0 }
  const told = new Map<TenantId, Told>()
  return {
    offer: (tenant, { loaded, ...now }) => {
      const before = told.get(tenant) ?? nothing
      const sameValue = ReaderOwned.isSame(now.value, before.value)
      if (sameValue && (loaded || now.revision === before.revision)) return
      // What equals the default is not kept: a subscriber that was told nothing starts from there too.
      if (now.revision === 0) told.delete(tenant)
      else told.set(tenant, { value: now.value, revision: now.revision })
      // A subscriber's own: what it does to them is not seen by another one, nor compared with what comes next.
      const [value, previous] = [now.value, before.value].map(ReaderOwned.handOut)
      mailbox.offer(tenant, { tenant, namespace, key, ...now, value, previous })
    },
    take: mailbox.take
  }
}
