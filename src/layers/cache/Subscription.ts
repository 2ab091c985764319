/**
 * One subscriber's view of one key: the value that it was last given of each tenant, and what waits for it.
 *
 * A subscriber starts from the default of the code, for every tenant. It is given the value of a tenant if that differs
 * from the last one it was given: when the tenant is loaded, also after a removal or a suspension, and when the
 * subscription begins. While a tenant is loaded it is given each new revision too, even if the value is the same. The
 * last value is kept when a tenant is removed: the subscriber compares with it when the tenant comes back.
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

interface Given {
  readonly value: unknown
  readonly revision: number
}

/** A mailbox of changes, which is offered what is in force. */
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
  const nothing: Given = { value: ReaderOwned.defaultOf(subscribed), revision: 0 }
  const given = new Map<TenantId, Given>()
  return {
    offer: (tenant, { loaded, ...now }) => {
      const before = given.get(tenant) ?? nothing
      const mayBeKnown = loaded || now.revision === before.revision
      if (mayBeKnown && ReaderOwned.isSame(subscribed, now.value, before.value)) return
      // What equals the default is not kept: a subscriber that was given nothing starts from there too.
      if (now.revision === 0) given.delete(tenant)
      else given.set(tenant, { value: now.value, revision: now.revision })
      // A subscriber's own: what it does to them is not seen by another one, nor compared with what comes next.
      const [value, previous] = [now.value, before.value].map(ReaderOwned.handOut)
      mailbox.offer(tenant, { tenant, namespace, key, ...now, value, previous })
    },
    take: mailbox.take
  }
}
