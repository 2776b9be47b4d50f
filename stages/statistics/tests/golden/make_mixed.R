# Writes mixed.json: what lmerTest and lme4 say of draws that lack an arm, and of components of variance.
#
#     apt-get install r-cran-lmertest && Rscript make_mixed.R
#
# Samples come from a seeded generator, rounded to four digits, and stand in the file beside what was found.
suppressMessages(library(lmerTest))
set.seed(20261127)
control <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-12), check.conv.singular = "ignore",
                       check.nobs.vs.nlev = "ignore", check.nobs.vs.rankZ = "ignore", check.nobs.vs.nRE = "ignore",
                       calc.derivs = FALSE)
number <- function(x) ifelse(is.na(x), "null", sprintf("%.15g", x))
list_of <- function(x) paste0("[", paste(number(x), collapse = ", "), "]")

# Arms in two columns, NA where a draw lacks one.
fitted <- function(arm, baseline) {
    n <- length(arm)
    rows <- data.frame(y = c(baseline, arm), arm = factor(rep(c("baseline", "arm"), each = n), c("baseline", "arm")),
                       draw = factor(rep(seq_len(n), 2)))
    rows <- rows[!is.na(rows$y), ]
    fit <- lmer(y ~ arm + (1 | draw), rows, control = control)
    at <- coef(summary(fit, ddf = "Satterthwaite"))["armarm", ]
    sprintf('{"arm": %s, "baseline": %s, "singular": %s, "difference": %s, "standard_error": %s, "df": %s, "p": %s}',
            list_of(arm), list_of(baseline), tolower(isSingular(fit, tol = 1e-6)), number(at[["Estimate"]]),
            number(at[["Std. Error"]]), number(at[["df"]]), number(at[["Pr(>|t|)"]]))
}
# Draws with both arms, with the arm alone, with the baseline alone.
shapes <- list(c(3, 1, 0), c(2, 1, 1), c(2, 4, 4), c(4, 1, 0), c(5, 1, 2), c(5, 0, 3), c(8, 2, 2), c(3, 5, 0),
               c(20, 4, 3))
cases <- c()
for (shape in shapes) for (level in c(0.05, 0.01)) {
    n <- sum(shape)
    draws <- rnorm(n, 0.6, level)
    arm <- round(draws + rnorm(n, 0.02, 0.015), 4)
    baseline <- round(draws + rnorm(n, 0, 0.015), 4)
    if (shape[2] > 0) baseline[shape[1] + seq_len(shape[2])] <- NA
    if (shape[3] > 0) arm[shape[1] + shape[2] + seq_len(shape[3])] <- NA
    cases <- c(cases, fitted(arm, baseline))
}

# Complete tables of scores, whose components REML estimates where no variance comes out at 0.
components <- function(arms, draws, items) {
    rows <- expand.grid(item = factor(seq_len(items)), draw = factor(seq_len(draws)), arm = factor(seq_len(arms)))
    effect <- function(f, sd) rnorm(nlevels(f), 0, sd)[as.integer(f)]
    rows$ad <- interaction(rows$arm, rows$draw, drop = TRUE)
    rows$ai <- interaction(rows$arm, rows$item, drop = TRUE)
    rows$di <- interaction(rows$draw, rows$item, drop = TRUE)
    rows$y <- round(0.5 + 0.1 * as.integer(rows$arm) + effect(rows$draw, 0.1) + effect(rows$item, 0.3) +
                    effect(rows$ad, 0.08) + effect(rows$ai, 0.1) + effect(rows$di, 0.1) + rnorm(nrow(rows), 0, 0.1), 4)
    model <- if (arms > 1) y ~ arm + (1 | draw) + (1 | item) + (1 | ad) + (1 | ai) + (1 | di) else
        y ~ 1 + (1 | draw) + (1 | item)
    fit <- lme4::lmer(model, rows, control = control)
    found <- as.data.frame(VarCorr(fit))
    of <- function(name) if (name %in% found$grp) found$vcov[found$grp == name] else NA
    sampling <- of("Residual") + if (arms > 1) of("di") else 0
    sprintf('{"lengths": %s, "scores": %s, "draw": %s, "item": %s, "arm_draw": %s, "arm_item": %s, "sampling": %s}',
            list_of(c(arms, draws, items)), list_of(rows$y), number(of("draw")), number(of("item")), number(of("ad")),
            number(of("ai")), number(sampling))
}
tables <- c(components(3, 5, 12), components(2, 4, 20), components(1, 6, 15))

version <- function(name) sprintf('"%s": "%s"', name, packageVersion(name))
versions <- paste(version("lmerTest"), version("lme4"), sprintf('"R": "%s"', getRversion()), sep = ", ")
writeLines(c(paste0('{"versions": {', versions, "},"),
             '"unbalanced": [', paste(cases, collapse = ",\n"), "],", '"variance": [', paste(tables, collapse = ",\n"),
             "]}"), "mixed.json")
