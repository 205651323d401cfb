package lang

import (
	"reflect"
	"regexp"
	"strings"
	"testing"
)

func TestChoose(t *testing.T) {
	for locale, want := range map[string]*Strings{
		"ru_RU.UTF-8": &Russian, "ru": &Russian, "RU": &Russian, "en_US.UTF-8": &English, "": &English, "C": &English,
		"de_DE": &English, "ru-RU,ru;q=0.9,en;q=0.8": &Russian, "en-GB,ru;q=0.5": &English,
	} {
		if Choose(locale) != want {
			t.Errorf("Choose(%q) is wrong", locale)
		}
	}
}

func TestDetectTakesTheFirstThatIsSet(t *testing.T) {
	t.Setenv("LC_ALL", "")
	t.Setenv("LC_MESSAGES", "ru_RU.UTF-8")
	t.Setenv("LANG", "en_US.UTF-8")
	if Detect() != &Russian {
		t.Error("LC_MESSAGES was not used")
	}
	t.Setenv("LC_ALL", "C.UTF-8")
	if Detect() != &English {
		t.Error("LC_ALL was not used")
	}
}

// TestLanguagesAgree holds that every string exists in both languages and formats the same values in the same order.
func TestLanguagesAgree(t *testing.T) {
	verbs := regexp.MustCompile(`%[.0-9]*[a-z]`)
	en, ru := reflect.ValueOf(English), reflect.ValueOf(Russian)
	for i := range en.NumField() {
		name := en.Type().Field(i).Name
		a, b := en.Field(i).String(), ru.Field(i).String()
		if a == "" || b == "" {
			t.Errorf("%s is missing in a language", name)
		}
		if x, y := verbs.FindAllString(a, -1), verbs.FindAllString(b, -1); !reflect.DeepEqual(x, y) {
			t.Errorf("%s formats %v in English and %v in Russian", name, x, y)
		}
	}
}

// TestForText holds that every text of its own is used, in the place of one that formats the same values.
func TestForText(t *testing.T) {
	verbs := regexp.MustCompile(`%[.0-9]*[a-z]`)
	for _, s := range []*Strings{&English, &Russian} {
		own, shown := reflect.ValueOf(*s), reflect.ValueOf(*s.ForText())
		for i := range own.NumField() {
			name, isText := strings.CutPrefix(own.Type().Field(i).Name, "Text")
			if !isText {
				continue
			}
			want, instead := own.Field(i).String(), own.FieldByName(name).String()
			if got := shown.FieldByName(name).String(); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
			if x, y := verbs.FindAllString(want, -1), verbs.FindAllString(instead, -1); !reflect.DeepEqual(x, y) {
				t.Errorf("Text%s formats %v, %s %v", name, x, name, y)
			}
		}
	}
}
