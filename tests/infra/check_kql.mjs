// Parses KQL and checks its names and types. In: {tables: {name: {column: type}}, queries: {name: text}} on standard input.
// Out, on standard output: {name: {faults: ["line: message", …], columns: {name: type of the result's columns}}}.
import { createRequire } from 'node:module'
import { text } from 'node:stream/consumers'

const require = createRequire(import.meta.url)
require('@kusto/language-service-next/bridge.min.js')
require('@kusto/language-service-next/Kusto.Language.Bridge.min.js')
const { GlobalState, KustoCode, Symbols } = globalThis.Kusto.Language

const { tables, queries } = JSON.parse(await text(process.stdin))
const symbols = Object.entries(tables).map(([name, columns]) => {
  const schema = Object.entries(columns).map(([column, type]) => `['${column}']: ${type}`).join(', ')
  return Symbols.TableSymbol.From(`(${schema})`).WithName(name)
})
const database = new Symbols.DatabaseSymbol.$ctor1('workspace', symbols, false)
const globals = GlobalState.Default.WithDatabase(database)

const results = {}
for (const [name, query] of Object.entries(queries)) {
  const code = KustoCode.ParseAndAnalyze(query, globals)
  const diagnostics = items(code.GetDiagnostics())
  const faults = diagnostics.map(({ Start, Message }) => `${query.slice(0, Start).split('\n').length}: ${Message}`)
  const columns = items(code.ResultType?.Columns).map(({ Name, Type }) => [Name, Type.Name])
  results[name] = { faults, columns: Object.fromEntries(columns) }
}
console.log(JSON.stringify(results))

function items (list) {
  return Array.from({ length: list?.Count ?? 0 }, (_, index) => list.getItem(index))
}
