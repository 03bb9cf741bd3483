import dbgraft = require('dbgraft');

const { clone, CloneError } = dbgraft;

export async function use(options: dbgraft.CloneOptions): Promise<dbgraft.Report> {
  return clone('mysql://a/b', 'mysql://c/d', options).catch((error: unknown) => {
    throw error instanceof CloneError ? new Error(error.code) : error;
  });
}
