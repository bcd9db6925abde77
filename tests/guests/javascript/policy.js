// Sends pictures, and what is called urgent, to the smallest model that can take them. `fail` fails.
import { write } from 'pointsman:skill/log@0.1.0';
import { all } from 'pointsman:skill/models@0.1.0';

export const lifecycle = {
  describe() {
    const description = 'Sends pictures and urgent matters to the smallest model for them.';
    return { name: 'policy', version: '1.0.0', description, priority: 10, reusable: false, extra: [] };
  },
  configure(_settings) {},
};

export const requestHook = {
  onRequest(turn) {
    try {
      return decide(turn);
    } catch (error) {
      // Whatever is thrown here is taken for the contract's error, so it has to be one.
      throw { code: 'failed', message: String(error), retryable: false };
    }
  },
};

function decide(turn) {
  if (turn.userText === 'fail') throw new Error(`cannot make sense of ${turn.requestId}`);
  const picture = turn.media.includes('image');
  if (!picture && !turn.userText.startsWith('urgent')) return { tag: 'pass' };
  const suits = (model) => model.kind === 'language' && (!picture || model.inputs.includes('image'));
  const [model, ...others] = all().filter(suits).sort((one, other) => one.sizeMib - other.sizeMib);
  if (!model) return { tag: 'pass' };
  const kind = picture ? 'picture' : 'urgent';
  write('info', `${kind}: ${model.id} is the smallest of ${others.length + 1}`);
  const candidates = [{ model: model.id, extra: [] }];
  const reason = `javascript: ${kind}`;
  return { tag: 'route', val: { candidates, swap: 'wait', hold: 'turn', afterwards: 'restore', reason, extra: [] } };
}
