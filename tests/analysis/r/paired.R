# Paired t tests of item means for every two models, Holm-adjusted, with the interval of d_z from the
# noncentral t distribution.
args <- commandArgs(TRUE)
d <- read.csv(args[1], colClasses = c(cell = "character"))
rows <- do.call(rbind, lapply(unique(d$cell), function(cell) {
  own <- d[d$cell == cell, ]
  pairs <- combn(unique(own$model), 2)
  do.call(rbind, lapply(seq_len(ncol(pairs)), function(i) {
    one <- own[own$model == pairs[1, i], ]
    other <- own[own$model == pairs[2, i], ]
    stopifnot(all(one$item == other$item))
    test <- t.test(one$y, other$y, paired = TRUE)
    n <- nrow(one)
    t <- unname(test$statistic)
    end <- function(level) uniroot(function(ncp) pt(t, n - 1, ncp) - level, t + c(-30, 30), tol = 1e-10)$root
    data.frame(cell = cell, model = pairs[1, i], other = pairs[2, i], difference = mean(one$y - other$y),
      t = t, df = unname(test$parameter), p = test$p.value, low = test$conf.int[1], high = test$conf.int[2],
      d_z = mean(one$y - other$y) / sd(one$y - other$y), d_z_low = end(0.975) / sqrt(n), d_z_high = end(0.025) / sqrt(n))
  }))
}))
rows$p_holm <- p.adjust(rows$p, "holm")
write.csv(rows, args[2], row.names = FALSE)
