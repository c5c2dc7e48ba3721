// stepscan._native. Most functions take addresses of arrays and write through them; the calling Python code checks shapes.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <cstring>
#include <memory>

#include "engine.h"
#include "team.h"
#include "session_lock.h"
#include "generation.h"
#include "output_loss.h"
#include "stream.h"
#include "transformer.h"

namespace nb = nanobind;
using namespace stepscan;

namespace {

typedef uintptr_t Address;
template <class T = float>
T* at(Address address) { return reinterpret_cast<T*>(address); }

// A hash of a sample of each array, to detect changes that PyTorch's version counters miss.
uint64_t fingerprint(const std::vector<Address>& addresses, const std::vector<long>& sizes) {
  uint64_t hash = 1469598103934665603ull;
  for (size_t i = 0; i < addresses.size(); i++) {
    const uint32_t* p = at<const uint32_t>(addresses[i]);
    long size = sizes[i], stride = size > 16 ? size / 16 : 1;
    for (long k = 0; p && k < size; k += stride) hash = (hash ^ p[k]) * 1099511628211ull;
  }
  return hash;
}

template <class T>
using Table = nb::ndarray<T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

// y = (x − mean) / deviation, computed in double; returns the index of the first value that is not finite, or -1.
template <class T>
long standardise(Table<const T> x, Address mean, Address deviation, Table<float> y) {
  const long steps = (long)x.shape(0), size = (long)x.shape(1);
  if ((long)y.shape(0) < steps || (long)y.shape(1) != size) throw nb::value_error("expected x [T, D] and y [T or more, D]");
  const T* from = x.data();
  float* to = y.data();
  nb::gil_scoped_release release;
  for (long t = 0; t < steps; t++)
    for (long d = 0; d < size; d++)
      to[t * size + d] = (float)(((double)from[t * size + d] - at<const double>(mean)[d]) / at<const double>(deviation)[d]);
  if (finite(to, steps * size)) return -1;
  long index = 0;
  while (finite(to + index, 1)) index++;
  return index;
}

// Python's context manager that holds several locks; `owners` keeps their Python objects alive.
struct LockContext {
  explicit LockContext(nb::list list) : owners(std::move(list)), locks(pointers(owners)) {}
  void enter() {
    using std::chrono::milliseconds;
    if (locks.acquire(milliseconds(0))) return;
    for (;;) {
      {
        nb::gil_scoped_release release;
        if (locks.acquire(milliseconds(50))) return;
      }
      if (PyErr_CheckSignals()) throw nb::python_error();
    }
  }
  static std::vector<SessionLock*> pointers(const nb::list& owners) {
    std::vector<SessionLock*> result;
    for (nb::handle one : owners) result.push_back(nb::cast<SessionLock*>(one));
    return result;
  }
  nb::list owners;
  SessionLocks locks;
};

}  // namespace

namespace stepscan { void bind_programs(nb::module_& m); }  // program_bindings.cpp

NB_MODULE(_native, m) {
  nb::set_leak_warnings(false);  // packed weights stay alive until the process exits
  m.def("fingerprint", &fingerprint);
  bind_programs(m);

  nb::class_<Linear>(m, "Linear").def("__init__", [](Linear* self, Address W, Address bias, long inputs, long outputs, int format) {
    new (self) Linear(at(W), at(bias), inputs, outputs, (Format)format);
  }, nb::arg("weight"), nb::arg("bias"), nb::arg("inputs"), nb::arg("outputs"), nb::arg("format") = 0).def("run", [](const Linear& self, Address x, long rows, Address y, int threads) {
    nb::gil_scoped_release release;
    self.run(at(x), rows, at(y), threads);
  });
  m.def("layer_norm", [](Address x, long rows, long size, Address gain, Address bias, Address y, int threads) {
    nb::gil_scoped_release release;
    layer_norm(at(x), rows, size, at(gain), at(bias), at(y), threads);
  });
  m.def("tanh", [](Address x, long size, Address y, int threads) {
    nb::gil_scoped_release release;
    tanh(at(x), size, at(y), threads);
  });
  m.def("standardise", &standardise<double>), m.def("standardise", &standardise<float>);
  m.def("softmax", [](Address x, long rows, long size, Address y, int threads) {
    nb::gil_scoped_release release;
    softmax(at(x), rows, size, at(y), threads);
  });
  // softmax of scores into a caller's array; false, without writing, if a score is not finite
  m.def("probabilities", [](Table<const float> scores, Table<float> to, int threads) {
    const long rows = (long)scores.shape(0), size = (long)scores.shape(1);
    if ((long)to.shape(0) < rows || (long)to.shape(1) != size) throw nb::value_error("expected scores [T, K] and an output array [T or more, K]");
    nb::gil_scoped_release release;
    if (!finite(scores.data(), rows * size)) return false;
    softmax(scores.data(), rows, size, to.data(), threads);
    return true;
  });
  m.def("attend", [](Address query, Address keys, Address memory, Address length, Address score, long batch, long queries, long items,
                     long width, long memory_width, Address context, Address weights, int threads) {
    nb::gil_scoped_release release;
    attend(at(query), at(keys), at(memory), at<const int64_t>(length), at(score), batch, queries, items, width, memory_width, at(context), at(weights), threads);
  });

  // addresses: query, keys, memory, length, score, weights, dcontext, dweights; sizes: batch, queries, items, width, memory's width
  m.def("attend_back", [](const std::vector<Address>& a, const std::vector<long>& size, const std::vector<Address>& to, int threads) {
    nb::gil_scoped_release release;
    attend_back({at(a[0]), at(a[1]), at(a[2]), at<const int64_t>(a[3]), at(a[4]), at(a[5]), at(a[6]), at(a[7]), size[1], size[2], size[3],
                 size[4], at(to[0]), at(to[1]), at(to[2]), at(to[3]), at(to[4])}, size[0], threads);
  });
  // addresses: x, weight, bias, targets, and of the results dx, dweight, dbias, rest, sum; sizes: rows, inputs, outputs
  m.def("output_loss", [](const std::vector<Address>& a, const std::vector<long>& size, float smoothing, int threads) {
    nb::gil_scoped_release release;
    return output_loss({at(a[0]), at(a[1]), at(a[2]), at<const int64_t>(a[3]), size[0], size[1], size[2], smoothing,
                        at(a[4]), at(a[5]), at(a[6]), at(a[7]), at(a[8])}, threads);
  });
  m.def("dropout", [](Address x, long size, uint64_t seed, double p, Address y, int threads) {
    nb::gil_scoped_release release;
    dropout(at(x), size, seed, p, at(y), threads);
  });

  // Layers for inference: a tree, built from its leaves up.
  nb::class_<Layer>(m, "Layer")
      .def_ro("input_size", &Layer::input).def_ro("output_size", &Layer::output).def_ro("state_size", &Layer::state)
      .def_ro("causal", &Layer::causal).def_ro("pointwise", &Layer::pointwise)
      .def_prop_ro("condition_size", [](const Layer& layer) { return layer.condition(); })
      // floats of a state for each item that it has room for, and the most items that it keeps; 0 and 0 without caches
      .def_ro("cache_size", &Layer::cache).def_ro("context", &Layer::context)
      // the items that states [n, S + capacity · cache_size] must have room for after `more` [n] items, or `more` null for none;
      // -1 if one is not a state
      .def("items_to_hold", [](const Layer& layer, Address states, long rows, long capacity, Address more) {
        long most = 0;
        for (long r = 0; r < rows && most >= 0; r++) {
          const float* state = at(states) + r * state_floats(layer, capacity);
          long held = items_to_hold(layer, state, 0), needed = items_to_hold(layer, state, more ? (long)at<const int64_t>(more)[r] : 0);
          most = held < 0 || held > capacity ? -1 : std::max(most, needed);
        }
        return most;
      })
      .def("copy_states", [](const Layer& layer, Address from, long capacity, long rows, Address to, long to_capacity) {
        for (long r = 0; r < rows; r++)
          copy_state(layer, at(from) + r * state_floats(layer, capacity), capacity, at(to) + r * state_floats(layer, to_capacity), to_capacity);
      })
      // x [B, T, I], lengths [B], states [B, S + capacity · cache_size] in and out, y [B, T, O]
      .def("scan", [](const Layer& layer, Address x, Address lengths, long rows, long steps, Address states, long capacity, Address y, int threads) {
        nb::gil_scoped_release release;
        layer.scan({at<const int64_t>(lengths), rows, steps}, at(x), states_of(layer, at(states), capacity), at(y), layer.output, threads);
      })
      // x [n, I], states [n, S + capacity · cache_size] in and out, y [n, O]
      .def("step", [](const Layer& layer, Address x, long rows, Address states, long capacity, Address y, int threads) {
        nb::gil_scoped_release release;
        step(layer, rows, RowView::strided(at(x), layer.input), states_of(layer, at(states), capacity), RowView::strided(at(y), layer.output), threads);
      })
      .def("readout", [](const Layer& layer, Address states, long rows, long capacity, Address y) {
        for (long r = 0; r < rows; r++) layer.readout(at(states) + r * state_floats(layer, capacity), at(y) + r * layer.output);
      })
      // states [n, S + capacity · cache_size] of zeros → those before the first item
      .def("initial_states", [](const Layer& layer, Address states, long rows, long capacity) {
        for (long r = 0; r < rows; r++) layer.set_initial(at(states) + r * state_floats(layer, capacity));
      })
      // initial states [n, S + cache_size], with room for one item
      .def("condition", [](const Layer& layer, Address vectors, long rows, Address states) {
        for (long r = 0; r < rows; r++)
          layer.set_condition(at(vectors) + r * layer.condition(), states_of(layer, at(states) + r * state_floats(layer, 1), 1));
      });
  m.def("make_linear", &make_linear), m.def("make_identity", &make_identity), m.def("make_stack", &make_stack);
  m.def("make_layer_norm", [](long size, Address gain, Address bias, bool keeps) { return make_layer_norm(size, at(gain), at(bias), keeps); });
  m.def("make_residual", &make_residual), m.def("make_zoneout", &make_zoneout), m.def("make_bidirectional", &make_bidirectional);
  // maps: input (or None), projection, output, up, down; norms: addresses of gain and bias, of attention and of the feed-forward;
  // context: items that one sees, or 0 for the block that sees all
  m.def("make_transformer", [](const std::vector<std::shared_ptr<const Linear>>& maps, const std::vector<Address>& norms, long heads, long context) {
    if (maps.size() != 5 || norms.size() != 4) throw nb::value_error("expected 5 maps and 4 addresses");
    BlockMaps block{maps[0], maps[1], maps[2], maps[3], maps[4]};
    NormWeights first{at(norms[0]), at(norms[1])}, second{at(norms[2]), at(norms[3])};
    return context ? make_transformer(block, first, second, heads, context) : make_bidirectional_transformer(block, first, second, heads);
  });

  // The state of one sequence that is read step by step; push allocates nothing.
  nb::class_<Stream>(m, "Stream")
      .def(nb::init<LayerPointer>())
      .def("push", [](Stream& stream, Table<const float> x, Table<float> y, int threads) {
        const long T = (long)x.shape(0);
        if ((long)x.shape(1) != stream.layer->input || (long)y.shape(1) != stream.layer->output || (long)y.shape(0) < T)
          throw nb::value_error("expected x [T, input] and y [T or more, output]");
        nb::gil_scoped_release release;
        return stream.push(x.data(), T, y.data(), threads);
      })
      // states [S + capacity · cache_size], with room for the items that the stream holds
      .def("read", [](const Stream& stream, Address to, long capacity) { stream.read(at(to), capacity); })
      .def("write", [](Stream& stream, Address from, long capacity) { stream.write(at(from), capacity); })
      .def("copy", [](Stream& stream, Stream& other) { stream.copy(other); })
      .def_prop_ro("items", &Stream::items)
      .def_prop_ro("bytes", &Stream::bytes);
  // one step of each stream: x [n, I] → y [n, O]
  m.def("push_many", [](const std::vector<Stream*>& streams, Address x, Address y, int threads) {
    nb::gil_scoped_release release;
    return push_many(streams, at(x), at(y), threads);
  });

  // `with SessionLocks([lock, …]):` holds all of them. Ctrl-C interrupts the wait, and cannot occur between acquiring the locks
  // and entering the block.
  nb::class_<SessionLock>(m, "SessionLock").def(nb::init<>());
  nb::class_<LockContext>(m, "SessionLocks")
      .def("__init__", [](LockContext* self, nb::list locks) { new (self) LockContext(std::move(locks)); })
      .def("__enter__", &LockContext::enter)
      .def("__exit__", [](LockContext& self, nb::args) { self.locks.release(); });

  nb::class_<TokenGenerator>(m, "TokenGenerator")
      .def("__init__", [](TokenGenerator* self, Address embedding, long symbols, LayerPointer layer, std::shared_ptr<const Linear> projection, std::shared_ptr<const Linear> head) {
        new (self) TokenGenerator(at(embedding), symbols, std::move(layer), std::move(projection), std::move(head));
      }, nb::arg(), nb::arg(), nb::arg(), nb::arg().none(), nb::arg())
      .def("generate", [](const TokenGenerator& generator, Address state, long capacity, Address y, long length, double temperature, long top_k, double top_p, double min_p,
                          Address excluded, Address uniforms, Address to, int threads) {
        nb::gil_scoped_release release;
        return generator.generate(at(state), capacity, at(y), length, {temperature, top_k, top_p, min_p}, at<const uint8_t>(excluded), at<const double>(uniforms), at<int64_t>(to), threads);
      })
      // One symbol of each of n texts together. settings [n, 3]: temperature, top_p, min_p; top_k [n]; excluded [n]: addresses of [V];
      // uniforms [n]; measured [n]; y [n, output] in and out; ids [n] and probabilities [n] out
      .def("generate_each", [](const TokenGenerator& generator, const std::vector<Stream*>& streams, Address y, Address settings, Address top_k, const std::vector<Address>& excluded,
                               Address uniforms, Address measured, Address ids, Address probabilities, int threads) {
        if (excluded.size() != streams.size()) throw nb::value_error("expected an array of excluded symbols for each stream");
        nb::gil_scoped_release release;
        std::vector<NextSymbol> texts;
        for (size_t r = 0; r < streams.size(); r++) {
          const double* setting = at<const double>(settings) + 3 * r;
          texts.push_back({streams[r], {setting[0], (long)at<const int64_t>(top_k)[r], setting[1], setting[2]}, at<const uint8_t>(excluded[r]),
                           at<const double>(uniforms)[r], at<const uint8_t>(measured)[r] != 0});
        }
        generator.generate_each(texts, at(y), threads);
        for (size_t r = 0; r < texts.size(); r++) at<int64_t>(ids)[r] = texts[r].symbol, at(probabilities)[r] = texts[r].probability;
      });

  m.def("use_openmp", [](Address parallel, Address thread_number, Address team_size) {
    use_openmp(at<void>(parallel), at<void>(thread_number), at<void>(team_size));
  });
  m.def("instruction_sets", &instruction_sets);
  m.def("instruction_set", [] { return std::string(kernels().isa); });
  m.def("use_instruction_set", &use_instruction_set);
  m.def("peak_flops", [](int threads) { nb::gil_scoped_release release; return peak_flops(threads); });
  m.def("barrier_seconds", [](int threads) { nb::gil_scoped_release release; return barrier_seconds(threads); });
  m.def("team_size", [](int threads) { nb::gil_scoped_release release; return team_size(threads); });
}
