# The mixed model by lme4, and plain logistic regression with a sandwich of participants.
suppressMessages(library(lme4))
args <- commandArgs(TRUE)
d <- read.csv(args[1])
d$goal <- factor(d$goal, levels = c("informational", "social", "both"))
d$state <- factor(d$state, levels = c("0 hearts", "1 heart", "2 hearts", "3 hearts"))
d$cell <- droplevels(interaction(d$goal, d$state, sep = "|"))
control <- glmerControl(optimizer = "bobyqa", optCtrl = list(maxfun = 1e5, rhoend = 1e-9), tolPwrss = 1e-10)
mixed <- glmer(y ~ 0 + cell + (1 | participant) + (1 | item), d, family = binomial, control = control)
plain <- glm(y ~ 0 + cell, d, family = binomial, epsilon = 1e-14)
x <- model.matrix(plain)
score <- x * (d$y - fitted(plain))
meat <- crossprod(rowsum(score, d$participant))
bread <- solve(crossprod(x, x * (fitted(plain) * (1 - fitted(plain)))))
sandwich <- bread %*% meat %*% bread
contrast <- function(estimate, covariance, goal, state) {
  names(estimate) <- sub("^cell", "", names(estimate))
  dimnames(covariance) <- list(names(estimate), names(estimate))
  base <- "informational|0 hearts"
  w <- setNames(rep(0, length(estimate)), names(estimate))
  add <- function(w, cell, sign) { w[cell] <- w[cell] + sign; w }
  w <- add(w, paste(goal, state, sep = "|"), 1)
  if (goal != "informational" && state != "0 hearts") {
    w <- add(add(add(w, paste(goal, "0 hearts", sep = "|"), -1), paste("informational", state, sep = "|"), -1), base, 1)
  } else if (paste(goal, state, sep = "|") != base) {
    w <- add(w, base, -1)
  }
  c(sum(w * estimate), sqrt(drop(t(w) %*% covariance %*% w)))
}
terms <- read.csv(args[2])
rows <- do.call(rbind, lapply(seq_len(nrow(terms)), function(i) {
  m <- contrast(fixef(mixed), suppressWarnings(as.matrix(vcov(mixed, use.hessian = FALSE))), terms$goal[i], terms$state[i])
  g <- contrast(coef(plain), sandwich, terms$goal[i], terms$state[i])
  data.frame(term = terms$term[i], mixed = m[1], mixed_se = m[2], gee = g[1], gee_se = g[2])
}))
spread <- as.data.frame(VarCorr(mixed))
rows$sd_participant <- spread$sdcor[spread$grp == "participant"]
rows$sd_item <- spread$sdcor[spread$grp == "item"]
write.csv(rows, args[3], row.names = FALSE)
