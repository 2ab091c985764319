/**
 * What is measured: each row is a ratio of medians of one run, with the gate it must hold and the stretch it aims at.
 */

export interface Gate {
  readonly name: string
  readonly gate: number
  readonly stretch: number
  /** What the row may and may not be compared with. */
  readonly note: string
}

const peers =
  "the peers answer one value for all tenants, their cheapest evaluation; ours differ by tenant. It says nothing of targeting rules"

export const gates = {
  snapshotGet: {
    name: "snapshot.get : nested Map",
    gate: 0.25,
    stretch: 0.12,
    note: "both synchronous, 3,200 pairs of tenant and key in random order; taking the snapshot is not in it"
  },
  handleCurrent: {
    name: "handle.current : nested Map",
    gate: 0.25,
    stretch: 0.12,
    note: "both synchronous, 3,200 pairs in random order; the handle was looked up before, the Map's strings were not"
  },
  yieldHandle: {
    name: "yield* handle : nested Map",
    gate: 0.8,
    stretch: 0.5,
    note: "ours in a generator, the Map in a plain loop: no Effect program reads a Map more cheaply"
  },
  configGet: {
    name: "yield* Config.get : yield* Effect.succeed",
    gate: 2.8,
    stretch: 1.5,
    note: "both in a generator, a fiber per tenant; succeed allocates and looks up nothing, and no read can be below it"
  },
  unleash: { name: "yield* Config.get : Unleash isEnabled", gate: 1, stretch: 0.5, note: peers },
  launchDarkly: { name: "yield* Config.get : LaunchDarkly variation", gate: 0.25, stretch: 0.1, note: peers },
  openFeature: { name: "yield* Config.get : OpenFeature in-memory", gate: 0.03, stretch: 0.01, note: peers },
  counting: {
    name: "counting hits : not counting",
    gate: 1.05,
    stretch: 1.02,
    note: "two copies of the package, one with the increment taken out as it is loaded; nothing else differs"
  },
  commitToVisible: {
    name: "commit to visible : bare listener",
    gate: 1.3,
    stretch: 1.05,
    note: "medians on an idle server over loopback; a network adds the same to both"
  },
  burst: {
    name: "burst of 10,000 updates : idle listener",
    gate: 5,
    stretch: 2,
    note: "from the commit; the idle listener parses every notification and reads nothing"
  },
  burstStatements: {
    name: "statements of the burst : notifications",
    gate: 0.01,
    stretch: 0.001,
    note: "counted where the connector is asked for them, until half a second passed without one"
  },
  load: {
    name: "first load of 10,000 rows : connect and SELECT",
    gate: 2,
    stretch: 1.4,
    note: "both connect and listen first, which is in it; asking what the plane asks is the bare driver with a fingerprint of each row"
  },
  activation: {
    name: "activation of 200 tenants : bare driver",
    gate: 2,
    stretch: 1.3,
    note: "prepared databases, 8 at once; the bare driver asks whether the table is there, the plane for triggers, functions and rights"
  },
  recovery: {
    name: "recovery of 200 tenants : bare driver",
    gate: 1.5,
    stretch: 1.1,
    note: "from the moment the restarted server accepts connections; the bare driver starts then, ours has to find out"
  },
  heap: {
    name: "heap per live tenant : bare session",
    gate: 2,
    stretch: 1.2,
    note: "after a full collection, one key without a row, against the driver's own listening session"
  },
  blackHole: {
    name: "black hole noticed : configured bound",
    gate: 1.2,
    stretch: 1.05,
    note: "the bound is maxStaleness: from when the network swallows everything to the first entry that says it is stale"
  },
  recordedWrite: {
    name: "a write on record : without a history",
    gate: 2,
    stretch: 1.5,
    note: "Config.set of one key, one round trip over loopback, on a server that does not wait for its disk: at the worst"
  },
  recordedBurst: {
    name: "10,000 updates on record : without a history",
    gate: 2,
    stretch: 1.5,
    note: "one UPDATE in plain SQL, one transaction; no process listens"
  },
  recordedBytes: {
    name: "bytes of a record : 400",
    gate: 1,
    stretch: 0.9,
    note: "the history with its indexes, without the values before and after, after updates of 10,000 keys"
  },
  readsByTenants: {
    name: "reads at 1,000 tenants : at 1",
    gate: 2,
    stretch: 1.2,
    note: "how much Config.get grows, over how much a nested Map does; 3,200 reads spread over all of them"
  },
  readsByKeys: {
    name: "reads at 10,000 keys : at 10",
    gate: 2,
    stretch: 1.2,
    note: "as above"
  },
  memoryGrowth: {
    name: "memory : proportional to tenants",
    gate: 1.5,
    stretch: 1.2,
    note: "how far the farthest size lies off a line through the origin; the memory plane's databases are in it too"
  },
  changeGrowth: {
    name: "a change among 1,000 tenants : alone",
    gate: 1.5,
    stretch: 1.1,
    note: "on a plane in memory, until visible; says nothing of a server that holds a thousand sessions"
  }
} satisfies Record<string, Gate>
