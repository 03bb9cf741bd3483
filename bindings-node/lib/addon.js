'use strict';

// Loads the native module: `native/<platform>/dbgraft.node`, beside the executable of the command.

const fs = require('node:fs');
const path = require('node:path');

const { platform, arch } = process;
const known = platform === 'linux' ? [`linux-${arch}-gnu`, `linux-${arch}-musl`] : [`${platform}-${arch}`];

function load() {
  const reasons = [];
  for (const name of known) {
    const folder = path.join(__dirname, '..', 'native', name);
    const file = path.join(folder, 'dbgraft.node');
    if (!fs.existsSync(file)) continue;
    try {
      return { native: require(file), executable: path.join(folder, platform === 'win32' ? 'dbgraft.exe' : 'dbgraft') };
    } catch (error) {
      reasons.push(error.message);
    }
  }
  const why = reasons.length > 0 ? reasons.join('; ') : `there is none for ${platform} ${arch}`;
  throw new Error(`dbgraft: its native module cannot be loaded: ${why}. The README says how to build it: make npm`);
}

module.exports = load();
