/**
 * What can happen to a plane, as data: a history is a list of these, generated, shrunk and printed.
 *
 * What a plane is asked to do runs in a fiber of its own, so that it is under way while the next things happen.
 */
import * as fc from "fast-check"

export const tenants = ["tenant-0001", "tenant-0002"] as const

export type Command =
  /** By another writer. */
  | {
      readonly do: "write" | "write badly" | "sign" | "change in place" | "erase"
      readonly tenant: number
      readonly key: number
    }
  | { readonly do: "erase quietly"; readonly tenant: number; readonly key: number }
  | { readonly do: "write both" | "erase both" | "truncate" | "back up" | "restore"; readonly tenant: number }
  /** By us. */
  | { readonly do: "set" | "set guarded" | "remove" | "get" | "entry"; readonly tenant: number; readonly key: number }
  | { readonly do: "set both" | "snapshot"; readonly tenant: number }
  | { readonly do: "activate" | "suspend" | "forget" | "rotate"; readonly tenant: number }
  /** To the ways between us and the databases. */
  | { readonly do: "notifications"; readonly tenant: number; readonly are: "pass" | "hold" | "lose" }
  | { readonly do: "shuffle held notifications" | "repeat held notifications"; readonly tenant: number }
  | { readonly do: "connections"; readonly tenant: number; readonly are: "accept" | "refuse" | "hang" }
  | { readonly do: "requests"; readonly tenant: number; readonly of: Link; readonly are: "pass" | "hold" }
  | { readonly do: "answers"; readonly tenant: number; readonly of: Link; readonly are: "pass" | "hold" | "cut" }
  | { readonly do: "disconnect"; readonly tenant: number; readonly of: Link }
  | { readonly do: "wait"; readonly millis: number }

type Link = "feed" | "client"

const tenant = fc.nat({ max: tenants.length - 1 })
/** Of the keys that are written one by one. */
const key = fc.nat({ max: 1 })
const of = fc.constantFrom<Link>("feed", "client")

const doing = <const Do extends string>(...names: ReadonlyArray<Do>) => fc.constantFrom(...names)

const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      do: doing("write", "write", "write badly", "sign", "change in place", "erase"),
      tenant,
      key
    })
  },
  { weight: 1, arbitrary: fc.record({ do: doing("erase quietly"), tenant, key }) },
  { weight: 5, arbitrary: fc.record({ do: doing("write both", "write both", "erase both", "truncate"), tenant }) },
  { weight: 1, arbitrary: fc.record({ do: doing("back up", "restore"), tenant }) },
  { weight: 10, arbitrary: fc.record({ do: doing("set", "set guarded", "remove", "get", "entry"), tenant, key }) },
  { weight: 5, arbitrary: fc.record({ do: doing("set both", "snapshot"), tenant }) },
  { weight: 5, arbitrary: fc.record({ do: doing("activate", "suspend", "forget", "rotate"), tenant }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: doing("notifications"), tenant, are: fc.constantFrom("pass", "hold", "lose") })
  },
  { weight: 2, arbitrary: fc.record({ do: doing("shuffle held notifications", "repeat held notifications"), tenant }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: doing("connections"), tenant, are: fc.constantFrom("accept", "refuse", "hang") })
  },
  { weight: 4, arbitrary: fc.record({ do: doing("requests"), tenant, of, are: fc.constantFrom("pass", "hold") }) },
  {
    weight: 4,
    arbitrary: fc.record({ do: doing("answers"), tenant, of, are: fc.constantFrom("pass", "hold", "cut") })
  },
  { weight: 3, arbitrary: fc.record({ do: doing("disconnect"), tenant, of }) },
  { weight: 8, arbitrary: fc.record({ do: doing("wait"), millis: fc.constantFrom(1, 20, 300, 1000, 4000) }) }
) as fc.Arbitrary<Command>

export const commands = fc.array(command, { maxLength: 60, size: "max" })

/** A history as it can be read. */
export const show = (history: ReadonlyArray<Command>): string =>
  history.map((command, i) => `  ${i + 1}. ${Object.values(command).join(" ")}`).join("\n")
