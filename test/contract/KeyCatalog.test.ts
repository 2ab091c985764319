import { inMemory } from "./inMemory.ts"
import { keyCatalogContract } from "./keyCatalogContract.ts"
import { onPostgres } from "./onPostgres.ts"

keyCatalogContract(inMemory)
keyCatalogContract(onPostgres)
