// Every kernel of every instruction set, with each array next to a protected page. Run as is and under the address,
// undefined-behaviour and thread sanitizers (`make sanitize`). Values are tested from Python, against PyTorch.
#include <thread>

#include "../output_loss.h"
#include "guarded.h"

static void pointwise() {
  for (long rows : {0, 1, 7, 130})
    for (long in : {1, 16, 65})
      for (long out : {1, 15, 64, 100}) {
        Floats W(out * in, 1), b(out, 1), x(rows * in, 1), y(rows * out), z(rows * out);
        Linear linear(W.get(), b.get(), in, out);
        linear.run(x.get(), rows, y.get(), 2);
        for (long r = 0; r < rows; r++) linear.run(x.get() + r * in, 1, z.get() + r * out, 1);
        CHECK(y == z, "linear %ld → %ld of %ld rows: a row's bits depend on the batch", in, out, rows);
        softmax(y.get(), rows, out, z.get(), 2);
      }
  for (long width : {1, 16, 17})
    for (long items : {1, 5}) {
      long B = 3, T = 2, M = width + 1;
      Guarded<int64_t> length(B);
      length.get()[0] = items, length.get()[1] = 0, length.get()[2] = 1;
      Floats q(B * T * width, 1), k(B * items * width, 1), m(B * items * M, 1), v(width, 1), context(B * T * M), weights(B * T * items);
      attend(q.get(), k.get(), m.get(), length.get(), v.get(), B, T, items, width, M, context.get(), weights.get(), 2);
      for (long i = 0; i < T * M; i++) CHECK(context.get()[T * M + i] == 0, "the context of an empty memory is not zero");
    }
}

static void training() {
  for (long width : {1, 16, 17})
    for (long items : {1, 5})
      for (bool additive : {false, true}) {
        long B = 3, T = 2, M = width + 1;
        Guarded<int64_t> length(B);
        length.get()[0] = items, length.get()[1] = 0, length.get()[2] = 1;
        Floats q(B * T * width, 1), k(B * items * width, 1), m(B * items * M, 1), v(width, 1), weights(B * T * items, 1),
            dcontext(B * T * M, 1), dq(B * T * width, 1), dk(B * items * width, 1), dm(B * items * M, 1), dv(B * width, 1), scratch(B * items);
        attend_back({q.get(), k.get(), m.get(), length.get(), additive ? v.get() : nullptr, weights.get(), dcontext.get(), weights.get(),
                     T, items, width, M, dq.get(), dk.get(), dm.get(), additive ? dv.get() : nullptr, scratch.get()}, B, 2);
        for (long i = 0; i < items * M; i++) CHECK(dm.get()[items * M + i] == 0, "the gradient of an empty memory is not zero");
      }
  for (long rows : {0, 1, 5, 600})
    for (long size : {1, 16, 1001})
      for (long inputs : {1, 17, 70}) {
        Guarded<int64_t> target(rows);
        for (long r = 0; r < rows; r++) target.get()[r] = (r * 7) % size;
        Floats x(rows * inputs, 1), weight(size * inputs, 1), bias(size, 1), rest(rows), sum(rows);
        Floats dx(rows * inputs), dweight(size * inputs), dbias(size), dx2(rows * inputs), dweight2(size * inputs), dbias2(size);
        OutputLossArgs args{x.get(), weight.get(), bias.get(), target.get(), rows, inputs, size, 0.1f, dx.get(), dweight.get(), dbias.get(), rest.get(), sum.get()};
        CHECK(output_loss(args, 1), "valid targets are refused");
        double total = 0;
        for (long i = 0; i < size; i++) total += dbias.get()[i];
        CHECK(std::fabs(total) < 1e-3, "the gradients of biases do not sum to zero");
        args.dx = dx2.get(), args.dweight = dweight2.get(), args.dbias = dbias2.get();
        CHECK(output_loss(args, 3), "valid targets are refused");
        CHECK(dx == dx2 && dweight == dweight2 && dbias == dbias2, "the bits of an output layer's gradients depend on the threads");
        if (rows) target.get()[rows - 1] = size;
        CHECK(!rows || !output_loss(args, 2), "an invalid target is accepted");
      }
  for (long size : {0, 1, 4097, 60000}) {
    Floats x(size, 1), one(size), two(size);
    dropout(x.get(), size, 7, 0.5, one.get(), 1), dropout(x.get(), size, 7, 0.5, two.get(), 3);
    CHECK(one == two, "dropout of %ld elements: bits depend on the number of threads", size);
  }
}

static void callers() {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; i++)
    threads.emplace_back([] {
      Floats W(64 * 64, 1), x(200 * 64, 1), y(200 * 64);
      Linear linear(W.get(), nullptr, 64, 64);
      for (int n = 0; n < 50; n++) linear.run(x.get(), 200, y.get(), 3);
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(team_size(3) == 3, "our pool has another size");
}

int main() {
  for (const std::string& isa : instruction_sets()) {
    use_instruction_set(isa);
    pointwise(), training(), callers();
    std::printf("%s: %d failures\n", isa.c_str(), failures);
  }
  return failures != 0;
}
