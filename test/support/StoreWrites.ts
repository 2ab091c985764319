/** Writes through the store of acme, each as a change of its own unless an id is given. */
import { Effect, Option } from "effect"
import { EntryStore, type EntryWrite, type KeyName, TenantId } from "effect-systemplane"

const acme = TenantId.make("acme")

interface Options {
  readonly actor?: string | undefined
  readonly ifRevision?: number | undefined
  readonly id?: string | undefined
}

export const changeOf = ({ actor = "test", id = crypto.randomUUID() }: Options = {}) => ({ id, actor })

/** Writes and deletes as one change. */
export const write = (writes: ReadonlyArray<EntryWrite>, options: Options = {}) =>
  EntryStore.use((store) => store.write(acme, writes, changeOf(options)))

/** Writes the value of a key, and returns its row. */
export const put = (key: KeyName, json: string, options: Options = {}) =>
  Effect.map(write([{ ...key, json, ifRevision: options.ifRevision }], options), ({ written }) => written[0]!.row!)

/** Writes values together, and returns their rows. */
export const putAll = (writes: ReadonlyArray<readonly [KeyName, string, number?]>) =>
  Effect.map(write(writes.map(([key, json, ifRevision]) => ({ ...key, json, ifRevision }))), ({ written }) =>
    written.map(({ row }) => row!)
  )

/** Deletes the row of a key, and returns the revision it had. */
export const remove = (key: KeyName, ifRevision?: number) =>
  Effect.map(write([{ ...key, json: undefined, ifRevision }]), ({ written }) =>
    Option.fromUndefinedOr(written[0]!.deleted)
  )
