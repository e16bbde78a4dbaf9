// Reads {"schema": {TABLE: COLUMNS}, "queries": {NAME: TEXT}} from standard input, and writes what Microsoft's Kusto compiler
// reports about each query: {NAME: ["message near \"text\""]}.
const { readFileSync } = require("node:fs");

require("@kusto/language-service-next/bridge.js");
require("@kusto/language-service-next/Kusto.Language.Bridge.js");

const { Kusto } = globalThis;
const { schema, queries } = JSON.parse(readFileSync(0, "utf8"));
const tables = Object.entries(schema).map(([name, columns]) => new Kusto.Language.Symbols.TableSymbol.$ctor7(name, columns, null));
const database = new Kusto.Language.Symbols.DatabaseSymbol.$ctor1("db", tables);
const globals = Kusto.Language.GlobalState.Default.WithDatabase(database);
const report = {};
for (const [name, text] of Object.entries(queries)) {
  const code = Kusto.Language.KustoCode.ParseAndAnalyze(text, globals);
  report[name] = [];
  const found = code.GetDiagnostics();
  for (let i = 0; i < found.Count; i++) {
    const { Message, Start, Length } = found.getItem(i);
    report[name].push(`${Message} near ${JSON.stringify(text.substr(Start, Length || 20))}`);
  }
}
process.stdout.write(JSON.stringify(report));
