// Reads a document with AsyncAPI's own parser, references included: `make test-asyncapi`.
const path = require('node:path');
const { createRequire } = require('node:module');
// npm exec puts the package's programs on the path, and nothing where node looks for packages.
const bin = process.env.PATH.split(path.delimiter).find((folder) => folder.includes('_npx'));
const { Parser, fromFile } = createRequire(path.join(bin, 'x'))('@asyncapi/parser');

fromFile(new Parser(), process.argv[2]).parse().then(({ document, diagnostics }) => {
  for (const found of diagnostics) console.log(`${found.code} at ${found.path.join('.')}: ${found.message}`);
  const isWrong = diagnostics.some((found) => found.severity === 0);
  if (!document || isWrong) process.exit(1);
  const count = (name) => `${document[name]().all().length} ${name}`;
  console.log(`valid: AsyncAPI ${document.version()}, ${count('channels')}, ${count('operations')}, ${count('messages')}`);
});
