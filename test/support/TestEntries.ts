/** The keys of acme that tests of the store read, and how the table differs from what is known of them. */
import { Effect } from "effect"
import { EntryStore, type KeyName, TenantId } from "effect-systemplane"

const acme = TenantId.make("acme")

export const a: KeyName = { namespace: "n", key: "a" }
export const b: KeyName = { namespace: "n", key: "b" }
export const c: KeyName = { namespace: "n", key: "c" }
export const keys = [a, b, c]

/** How the table differs from what is known. */
export const diff = (known: ReadonlyArray<bigint | undefined>) =>
  EntryStore.use((store) => store.diff(acme)(keys, known))

export const nothing = keys.map(() => undefined)

/** What there is to know of the keys now. */
export const know = Effect.map(diff(nothing), (found) =>
  keys.map((_, slot) => found.find((difference) => difference.slot === slot)?.row?.fingerprint)
)

/** Each slot that differs, with its value, or `undefined` if the row is gone. */
export const valuesOf = (found: Effect.Success<ReturnType<typeof diff>>) =>
  Object.fromEntries(found.map(({ row, slot }) => [slot, row?.value]))
