import { inMemory } from "./inMemory.ts"
import { keyCatalogContract } from "./keyCatalogContract.ts"

keyCatalogContract(inMemory)
